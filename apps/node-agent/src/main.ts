import 'reflect-metadata';
import { LariatError, toLariatError } from '@lariat/kernel';
import { createLog } from '@lariat/telemetry';
import { Agent } from './agent.js';
import { readConfig, USAGE, UsageError, type AgentConfig } from './config.js';
import { prestop, PRESTOP_USAGE, readPrestopOptions, STAND_DOWN_SIGNAL } from './prestop.js';

const EXIT_USAGE = 2;
const EXIT_FAILED = 1;

const log = createLog('node-agent');

function orExit<T>(usage: string, read: () => T): T {
  try {
    return read();
  } catch (reason) {
    if (reason instanceof LariatError) {
      process.stderr.write(`${reason.message}\n`);
      process.exit(EXIT_FAILED);
    }
    if (!(reason instanceof UsageError)) throw reason;
    process.stderr.write(`${reason.message}\n\n${usage}`);
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
  let standDown = (): void => undefined;
  process.on(STAND_DOWN_SIGNAL, () => standDown());
  const agent = await Agent.start(config, log, stopping.signal);
  stop = (what): void => {
    void agent.stop(what).then(() => process.exit(0));
  };
  standDown = () => void agent.standDown();
  // A signal that came in the last moment of the start.
  if (stopping.signal.aborted) return stop(stopping.signal.reason as 'all' | 'agent');
  const ready = { ready: true, node: config.node, pid: process.pid, targetPid: agent.targetPid };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}

const [command, ...rest] = process.argv.slice(2);
if (command === 'prestop') {
  const options = orExit(PRESTOP_USAGE, () => readPrestopOptions(rest, process.env));
  process.stdout.write(`${await prestop(options)}\n`);
} else {
  const config = orExit(USAGE, () => readConfig(process.argv.slice(2), process.env));
  run(config).catch((reason: unknown) => {
    log.error('cannot start', { error: toLariatError(reason) });
    process.stderr.write(`${toLariatError(reason).message}\n`);
    process.exit(EXIT_FAILED);
  });
}
