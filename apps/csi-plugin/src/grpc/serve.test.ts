import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Metadata, type ServiceError, credentials, status } from '@grpc/grpc-js';
import { lariatError } from '@lariat/contracts';
import { NO_METRICS, createLog, createTelemetry } from '@lariat/telemetry';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { CallScope } from './messages.js';
import { type RunningServer, csiClients, serve } from './serve.js';
import { clearSocket, socketPathOf } from './socket-path.js';

const folder = mkdtempSync(join(tmpdir(), 'csi-'));
const socketPath = join(folder, 'csi.sock');
const telemetry = createTelemetry({ serviceName: 't', serviceVersion: '0', instanceId: 'i' });
const TRACE = '0af7651916cd43dd8448eb211c80319c';
let server: RunningServer;
const measured: unknown[] = [];
let probe: (scope: CallScope) => Promise<{ ready: { value: boolean } }>;

beforeAll(async () => {
  server = await serve({
    socketPath,
    services: {
      Identity: {
        GetPluginInfo: () => Promise.resolve({ name: 'n', vendorVersion: '1' }),
        GetPluginCapabilities: () => Promise.resolve({ capabilities: [] }),
        Probe: (_request, scope) => probe(scope),
      },
    },
    tracer: telemetry.tracer,
    metrics: {
      ...NO_METRICS,
      record: ({ name }, _seconds, attributes) => measured.push({ name, attributes }),
    },
    log: createLog('test', 'error', () => undefined),
  });
});

afterEach(() => {
  probe = () => Promise.resolve({ ready: { value: true } });
});

afterAll(async () => {
  await server.close(1_000);
  await telemetry.shutdown();
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  readonly code: number;
  readonly message: string;
  readonly answer: unknown;
}

function call(
  name: string,
  given: { readonly deadlineMs?: number; readonly authority?: string } = {},
  onCall: (call: { cancel(): void }) => void = () => undefined,
): Promise<Ended> {
  const { deadlineMs = 10_000, authority } = given;
  const options = authority === undefined ? {} : { 'grpc.default_authority': authority };
  const client = new (csiClients().Identity)(
    `unix:${socketPath}`,
    credentials.createInsecure(),
    options,
  );
  const metadata = new Metadata();
  metadata.set('traceparent', `00-${TRACE}-b7ad6b7169203331-01`);
  return new Promise((resolve) => {
    const begun = client.makeUnaryRequest(
      `/csi.v1.Identity/${name}`,
      () => Buffer.alloc(0),
      (bytes) => bytes,
      {},
      metadata,
      { deadline: Date.now() + deadlineMs },
      (error: ServiceError | null, answer) => {
        client.close();
        resolve({ code: error?.code ?? status.OK, message: error?.details ?? '', answer });
      },
    );
    onCall(begun);
  });
}

it('answers clients that name the socket in whichever way as the authority', async () => {
  const quoted = encodeURIComponent(socketPath);
  for (const authority of [undefined, 'localhost', quoted])
    expect(await call('GetPluginInfo', authority === undefined ? {} : { authority })).toMatchObject(
      {
        code: status.OK,
      },
    );
});

it('measures its calls by name and outcome', async () => {
  measured.length = 0;
  await call('Probe');
  probe = () => Promise.reject(lariatError('NO_CAPACITY', 'There is no room.'));
  await call('Probe');
  const of = (outcome: string) => ({
    name: 'lariat.csi.call.duration',
    attributes: { 'rpc.method': 'csi.v1.Identity/Probe', 'rpc.grpc.status_code': outcome },
  });
  expect(measured).toEqual([of('OK'), of('RESOURCE_EXHAUSTED')]);
});

it('says what is wrong in the code of the interface, with the trace of the caller', async () => {
  probe = () => Promise.reject(lariatError('NO_CAPACITY', 'There is no room.'));
  expect(await call('Probe')).toMatchObject({
    code: status.RESOURCE_EXHAUSTED,
    message: `There is no room. [NO_CAPACITY] (trace ${TRACE})`,
  });
  // What nobody has foreseen may have happened: it must be asked again.
  probe = () => Promise.reject(new Error('surprise'));
  expect((await call('Probe')).code).toBe(status.UNAVAILABLE);
  expect((await call('NoSuchCall')).code).toBe(status.UNIMPLEMENTED);
});

it('tells a call how long its caller waits, and that it has gone', async () => {
  let leftMs = Infinity;
  probe = (scope) => {
    leftMs = scope.leftMs();
    return Promise.resolve({ ready: { value: true } });
  };
  await call('Probe', { deadlineMs: 60_000 });
  expect(leftMs).toBeLessThan(60_000);
  expect(leftMs).toBeGreaterThan(0);
  let cancel: () => void = () => undefined;
  const sawAbort = new Promise<boolean>((resolve) => {
    probe = ({ signal }) => {
      cancel();
      return new Promise((answer) => {
        const told = (): void => {
          resolve(signal.aborted);
          answer({ ready: { value: false } });
        };
        if (signal.aborted) told();
        else signal.addEventListener('abort', told, { once: true });
      });
    };
  });
  const ended = call('Probe', {}, (running) => {
    cancel = () => running.cancel();
  });
  expect((await ended).code).toBe(status.CANCELLED);
  expect(await sawAbort).toBe(true);
});

it('takes the place of a dead process, of a living one never, nor of a file', async () => {
  await expect(clearSocket(socketPath)).rejects.toThrow(/another process serves/);
  const file = join(folder, 'file');
  writeFileSync(file, 'x');
  await expect(clearSocket(file)).rejects.toThrow(/not a socket/);
  await clearSocket(join(folder, 'none'));
  const dead = join(folder, 'dead.sock');
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(`${dead}.new`, resolve));
  // Node takes the file of a server that is closed away, where it still is: as one that is killed leaves it.
  renameSync(`${dead}.new`, dead);
  await new Promise<void>((resolve) => other.close(() => resolve()));
  expect(existsSync(dead)).toBe(true);
  await clearSocket(dead);
  expect(existsSync(dead)).toBe(false);
});

it('serves on Unix sockets alone', () => {
  for (const endpoint of ['unix:///a/b', 'unix:/a/b', '/a/b'])
    expect(socketPathOf(endpoint)).toBe('/a/b');
  for (const endpoint of ['tcp://127.0.0.1:1', 'unix:a', '', 'http://x'])
    expect(socketPathOf(endpoint)).toBeUndefined();
});
