import 'reflect-metadata';
import { LariatError } from '@lariat/kernel';
import { createLog } from '@lariat/telemetry';
import { type PluginConfig, USAGE, UsageError, readConfig } from './config.js';
import { startPlugin } from './plugin.js';

const EXIT_USAGE = 2;
const EXIT_FAILED = 1;

const log = createLog('csi-plugin');

function configOrExit(): PluginConfig {
  try {
    return readConfig(process.argv.slice(2), process.env);
  } catch (reason) {
    if (reason instanceof LariatError) {
      process.stderr.write(`${reason.message}\n`);
      process.exit(EXIT_FAILED);
    }
    if (!(reason instanceof UsageError)) throw reason;
    process.stderr.write(`${reason.message}\n\n${USAGE}`);
    process.exit(EXIT_USAGE);
  }
}

async function run(config: PluginConfig): Promise<void> {
  const plugin = await startPlugin(config, log);
  let isStopping = false;
  const stop = (): void => {
    if (isStopping) return;
    isStopping = true;
    plugin.close().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error('stop failed', { error });
        process.exit(EXIT_FAILED);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  const ready = { ready: true, pid: process.pid, socket: config.socketPath, mode: config.mode };
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}

run(configOrExit()).catch((error: unknown) => {
  log.error('cannot start', { error });
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(EXIT_FAILED);
});
