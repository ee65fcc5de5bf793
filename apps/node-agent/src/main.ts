import 'reflect-metadata';
import { toLariatError } from '@lariat/kernel';
import { createLog } from '@lariat/telemetry';
import { Agent } from './agent.js';
import { readConfig, USAGE, UsageError, type AgentConfig } from './config.js';

const EXIT_USAGE = 2;
const EXIT_FAILED = 1;

const log = createLog('node-agent');

function configOrExit(): AgentConfig {
  try {
    return readConfig(process.argv.slice(2), process.env);
  } catch (reason) {
    if (!(reason instanceof UsageError)) throw reason;
    process.stderr.write(`${reason.message}\n\n${USAGE}`);
    process.exit(EXIT_USAGE);
  }
}

async function run(config: AgentConfig): Promise<void> {
  log.info('starting', { config });
  const stopping = new AbortController();
  let stop = (_what: 'all' | 'agent'): void => undefined;
  const onSignal = (what: 'all' | 'agent') => (): void => {
    if (!stopping.signal.aborted) stopping.abort(what);
    stop(what);
  };
  process.on('SIGTERM', onSignal('all'));
  process.on('SIGINT', onSignal('all'));
  process.on('SIGHUP', onSignal('agent'));
  const agent = await Agent.start(config, log, stopping.signal);
  stop = (what): void => {
    void agent.stop(what).then(() => process.exit(0));
  };
  // A signal that came in the last moment of the start.
  if (stopping.signal.aborted) return stop(stopping.signal.reason as 'all' | 'agent');
  const ready = { ready: true, node: config.node, pid: process.pid, targetPid: agent.targetPid };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}

run(configOrExit()).catch((reason: unknown) => {
  log.error('cannot start', { error: toLariatError(reason) });
  process.stderr.write(`${toLariatError(reason).message}\n`);
  process.exit(EXIT_FAILED);
});
