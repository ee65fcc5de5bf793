import { toLariatError } from '@lariat/kernel';
import { natsAwayAsUnavailable, readBusAccess } from '@lariat/messaging';
import { createLog, readTelemetryEnvironment } from '@lariat/telemetry';
import type { PluginDefinition } from './define-plugin.js';
import { USAGE, readHostArguments } from './host-arguments.js';
import { type RunningPlugin, runPlugin } from './run-plugin.js';
import { faultsFromEnvironment } from './test-faults.js';

export type LoadPlugin = (nameOrPath: string) => Promise<PluginDefinition>;

const log = createLog('plugin-host');

async function host(load: LoadPlugin): Promise<void> {
  const values = readHostArguments();
  if (values.help === true) {
    process.stdout.write(USAGE);
    return;
  }
  const natsUrl = values.nats ?? process.env.LARIAT_NATS_URL;
  const names = values.plugin ?? [];
  if (natsUrl === undefined || names.length === 0) {
    process.stderr.write(USAGE);
    process.exitCode = 2;
    return;
  }
  const redisUrl = values.redis ?? process.env.LARIAT_REDIS_URL;
  const options = {
    natsUrl,
    ...(await faultsFromEnvironment(process.env)),
    environment: readTelemetryEnvironment(process.env),
    access: readBusAccess(process.env),
    ...(redisUrl === undefined || redisUrl === '' ? {} : { redisUrl }),
  };
  const plugins = await Promise.all(names.map(load));
  const running = await Promise.all(plugins.map((plugin) => runPlugin(plugin, options)));
  stopOnSignal(running);
  const ready = {
    ready: true,
    pid: process.pid,
    plugins: plugins.map(({ name, version }) => ({ name, version })),
  };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}

function stopOnSignal(running: readonly RunningPlugin[]): void {
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    Promise.all(running.map((plugin) => plugin.close())).then(
      () => process.exit(),
      (error: unknown) => {
        log.error('stop failed', { error });
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

/** Runs the plugins that the command line names, until a signal ends the process. */
export function runHost(load: LoadPlugin): void {
  process.on('unhandledRejection', (reason) => {
    // A process in an unknown state must not go on: its sagas are taken up by another.
    log.error('unhandled rejection', { error: reason });
    process.exit(1);
  });
  host(load).catch((reason: unknown) => {
    const error = toLariatError(natsAwayAsUnavailable(reason));
    log.error('cannot start', { code: error.code, error: reason });
    process.stderr.write(`lariat-plugins: ${error.message}\n`);
    process.exit(1);
  });
}
