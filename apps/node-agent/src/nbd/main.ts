import { parseArgs } from 'node:util';
import type { NvmfEndpoint } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { nvmeBlockConnector } from '../adapters/nvme/nvme-block-connector.js';
import { ByteDevice } from './byte-device.js';
import { NbdServer } from './server.js';
import { StallingDevice } from './stalling-device.js';

/** One attachment's NBD server; the agent starts it, and it outlives the agent. */
interface NbdOptions {
  readonly volume: string;
  readonly endpoint: NvmfEndpoint;
  readonly hostNqn: string;
  readonly discard: boolean;
}

const FIRST_CONNECT_DEADLINE_MS = 8_000;
/** After this a process that is asked to end does so with requests unanswered: the agent kills it soon. */
const CLOSE_DEADLINE_MS = 3_000;
const EXIT_USAGE = 2;

/** By hand: the telemetry library would double the time that an attachment waits for this process. */
function log(level: 'info' | 'warn' | 'error', message: string, fields: object): void {
  const line = { time: new Date().toISOString(), level, service: 'nbd', message, ...fields };
  process.stderr.write(`${JSON.stringify(line)}\n`);
}

async function serve(socketPath: string, options: NbdOptions): Promise<void> {
  const { volume, endpoint, hostNqn, discard } = options;
  const stalling = await StallingDevice.open(
    () => nvmeBlockConnector.connect({ endpoint, hostNqn, ctrlrLossTimeoutMs: -1 }),
    FIRST_CONNECT_DEADLINE_MS,
    (reason) => log('warn', 'waiting for the engine', { volume, reason }),
  );
  const server = new NbdServer({
    exportName: volume,
    device: new ByteDevice(stalling),
    discard,
    onError: (reason) =>
      log('warn', 'request failed', { volume, error: toLariatError(reason).message }),
  });
  await server.listen(socketPath);
  log('info', 'serving', { volume, socketPath, sizeBytes: stalling.sizeBytes });
  const stop = (): void => {
    setTimeout(() => process.exit(0), CLOSE_DEADLINE_MS).unref();
    void server
      .close()
      .then(() => stalling.close())
      .then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

const { values } = parseArgs({
  options: { socket: { type: 'string' }, options: { type: 'string' } },
});
if (values.socket === undefined || values.options === undefined) {
  process.stderr.write(
    'usage: nbd/main.bundle.js --socket PATH --options JSON (started by the agent)\n',
  );
  process.exitCode = EXIT_USAGE;
} else {
  serve(values.socket, JSON.parse(values.options) as NbdOptions).catch((reason: unknown) => {
    log('error', 'cannot serve', { error: toLariatError(reason).message });
    process.exit(1);
  });
}
