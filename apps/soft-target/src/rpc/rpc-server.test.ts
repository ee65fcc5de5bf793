import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JsonDocumentSplitter, SpdkClient } from '@lariat/spdk';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { silentLog } from '../app/log.js';
import { decodeObject, str, uint } from './decode.js';
import { method, type MethodTable } from './method.js';
import { MAX_RUNNING } from './rpc-connection.js';
import { RpcSocketError, startRpcServer, type RpcServer } from './rpc-server.js';

let folder: string;
let socketPath: string;
let server: RpcServer;
const gates = new Map<string, () => void>();

const methods: MethodTable = {
  echo: method(decodeObject({ text: str }), ({ text }) => text),
  /** Answers when the test opens its gate. */
  wait: method(decodeObject({ gate: str }), ({ gate }) => {
    return new Promise((resolve) => gates.set(gate, () => resolve(gate)));
  }),
  big: method(decodeObject({ sizeBytes: uint }), ({ sizeBytes }) => 'x'.repeat(sizeBytes)),
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lariat-rpc-'));
  socketPath = join(folder, 'rpc.sock');
  server = await startRpcServer({ socketPath, methods, log: silentLog });
});

afterEach(async () => {
  gates.forEach((open) => open());
  gates.clear();
  await server.close(100);
  await rm(folder, { recursive: true, force: true });
});

interface RawClient {
  readonly socket: Socket;
  readonly answers: unknown[];
  readonly ended: Promise<unknown>;
}

async function connectRaw(): Promise<RawClient> {
  const socket = createConnection({ path: socketPath });
  await once(socket, 'connect');
  const answers: unknown[] = [];
  const splitter = new JsonDocumentSplitter({ maxDocumentBytes: 1 << 28 });
  socket.on('data', (chunk) =>
    splitter.push(chunk, (document) => answers.push(JSON.parse(String(document)))),
  );
  return { socket, answers, ended: once(socket, 'close') };
}

const eventually = (check: () => void): Promise<void> =>
  vi.waitFor(check, { timeout: 5_000, interval: 5 });

describe('requests', () => {
  test('are taken however they are split', async () => {
    const { socket, answers } = await connectRaw();
    socket.setNoDelay(true);
    const request = Buffer.from(
      '{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"é}\\"{"}}',
    );
    for (let at = 1; at < request.length; at += 1) {
      socket.write(request.subarray(0, at));
      await new Promise((resolve) => setImmediate(resolve));
      socket.write(request.subarray(at));
    }
    await eventually(() => expect(answers).toHaveLength(request.length - 1));
    expect(new Set(answers.map((answer) => JSON.stringify(answer)))).toEqual(
      new Set([JSON.stringify({ jsonrpc: '2.0', id: 1, result: 'é}"{' })]),
    );
    socket.destroy();
  });

  test('run side by side and are answered as they are done', async () => {
    const { socket, answers } = await connectRaw();
    socket.write(
      '{"id":1,"method":"wait","params":{"gate":"a"}}{"id":2,"method":"wait","params":{"gate":"b"}}',
    );
    socket.write('{"id":3,"method":"echo","params":{"text":"c"}}');
    await eventually(() => expect(answers).toEqual([{ jsonrpc: '2.0', id: 3, result: 'c' }]));
    gates.get('b')?.();
    await eventually(() => expect(answers).toHaveLength(2));
    gates.get('a')?.();
    await eventually(() =>
      expect(answers.map((answer) => (answer as { id: number }).id)).toEqual([3, 2, 1]),
    );
    socket.destroy();
  });

  test('of several clients do not mix', async () => {
    const clients = await Promise.all([1, 2, 3].map(() => SpdkClient.connect({ socketPath })));
    const calls = clients.flatMap((client, index) =>
      Array.from({ length: 50 }, async (_, number) => {
        const text = `${index}/${number}`;
        expect(await client.call('echo', { text })).toBe(text);
      }),
    );
    await Promise.all(calls);
    clients.forEach((client) => client.close());
  });

  test('in a batch are answered with one array', async () => {
    const { socket, answers } = await connectRaw();
    socket.write(
      '[{"id":1,"method":"echo","params":{"text":"a"}},{"id":2,"method":"echo","params":{"text":"b"}}]',
    );
    await eventually(() => expect(answers).toHaveLength(1));
    expect(answers[0]).toHaveLength(2);
    socket.destroy();
  });

  test('that are not JSON are answered, and the connection is closed', async () => {
    for (const bytes of ['{"id":1,]', '}', 'hello there', '{"id":1,"id":']) {
      const { socket, answers, ended } = await connectRaw();
      socket.write(bytes);
      if (bytes.endsWith(':')) socket.write('nil');
      await ended;
      expect(answers).toEqual([
        { jsonrpc: '2.0', id: null, error: { code: -32700, message: 'Parse error' } },
      ]);
      socket.destroy();
    }
  });

  test('before a fault are answered first', async () => {
    const { socket, answers, ended } = await connectRaw();
    socket.write('{"id":1,"method":"echo","params":{"text":"a"}}{"id":2,"method":"wait",');
    socket.write('"params":{"gate":"a"}}]');
    await eventually(() => expect(answers).toHaveLength(2));
    gates.get('a')?.();
    await ended;
    expect(answers).toEqual([
      expect.objectContaining({ error: { code: -32700, message: 'Parse error' } }),
      { jsonrpc: '2.0', id: 1, result: 'a' },
      { jsonrpc: '2.0', id: 2, result: 'a' },
    ]);
  });

  test('with a name given twice are invalid, and the connection goes on', async () => {
    const { socket, answers } = await connectRaw();
    socket.write('{"id":1,"id":2,"method":"echo","params":{"text":"a"}}');
    socket.write('{"id":3,"method":"echo","params":{"text":"a","text":"b"}}');
    await eventually(() => expect(answers).toHaveLength(2));
    expect(answers).toEqual([
      { jsonrpc: '2.0', id: null, error: { code: -32600, message: 'Invalid request' } },
      { jsonrpc: '2.0', id: 3, error: { code: -32602, message: 'Invalid parameters' } },
    ]);
    socket.destroy();
  });

  test('keep ids that a double would round', async () => {
    const { socket } = await connectRaw();
    let text = '';
    socket.on('data', (chunk) => (text += String(chunk)));
    socket.write('{"id":18446744073709551615,"method":"echo","params":{"text":"a"}}');
    await eventually(() => expect(text).toContain('"result":"a"'));
    expect(text).toContain('"id":18446744073709551615,');
    socket.destroy();
  });

  test('beyond those that may run at a time wait, and none is lost', async () => {
    const { socket, answers } = await connectRaw();
    const total = MAX_RUNNING + 50;
    for (let id = 1; id <= total; id += 1) {
      socket.write(`{"id":${id},"method":"wait","params":{"gate":"${id}"}}`);
    }
    await eventually(() => expect(gates.size).toBe(MAX_RUNNING));
    const other = await SpdkClient.connect({ socketPath });
    expect(await other.call('echo', { text: 'still served' })).toBe('still served');
    other.close();
    expect(gates.size).toBe(MAX_RUNNING);
    for (let id = 1; id <= total; id += 1) {
      await eventually(() => expect(gates.has(String(id))).toBe(true));
      gates.get(String(id))?.();
    }
    await eventually(() => expect(answers).toHaveLength(total));
    socket.destroy();
  });

  test('over the limit are refused', async () => {
    const { socket, answers, ended } = await connectRaw();
    socket.on('error', () => undefined);
    socket.write(`{"id":1,"method":"echo","params":{"text":"${'x'.repeat(300 * 1024)}"}}`);
    await ended;
    expect(answers).toMatchObject([{ error: { code: -32700 } }]);
  });

  test('are answered after the client has ended its side', async () => {
    const { socket, answers, ended } = await connectRaw();
    socket.end('{"id":1,"method":"wait","params":{"gate":"a"}}');
    await eventually(() => expect(gates.has('a')).toBe(true));
    gates.get('a')?.();
    await ended;
    expect(answers).toEqual([{ jsonrpc: '2.0', id: 1, result: 'a' }]);
  });

  test('are not read while the client reads no answers', async () => {
    const { socket, answers } = await connectRaw();
    socket.pause();
    const total = 40;
    const sizeBytes = 1 << 20;
    for (let id = 0; id < total; id += 1) {
      socket.write(`{"id":${id},"method":"big","params":{"sizeBytes":${sizeBytes}}}`);
    }
    const other = await SpdkClient.connect({ socketPath });
    expect(await other.call('echo', { text: 'still served' })).toBe('still served');
    other.close();
    socket.resume();
    await eventually(() => expect(answers).toHaveLength(total));
    expect(
      answers.every((answer) => (answer as { result: string }).result.length === sizeBytes),
    ).toBe(true);
    socket.destroy();
  });
});

describe('the socket', () => {
  test('is for its owner alone', async () => {
    expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
  });

  test('that another process serves is refused', async () => {
    await expect(startRpcServer({ socketPath, methods, log: silentLog })).rejects.toThrow(
      'another process serves',
    );
    const client = await SpdkClient.connect({ socketPath });
    expect(await client.call('echo', { text: 'unharmed' })).toBe('unharmed');
    client.close();
  });

  test('of a process that was killed is replaced', async () => {
    const stale = join(folder, 'stale.sock');
    await leaveStaleSocket(stale);
    expect(existsSync(stale)).toBe(true);
    const second = await startRpcServer({ socketPath: stale, methods, log: silentLog });
    const client = await SpdkClient.connect({ socketPath: stale });
    expect(await client.call('echo', { text: 'a' })).toBe('a');
    client.close();
    await second.close();
  });

  test('is not taken from what is no socket', async () => {
    const path = join(folder, 'missing', 'rpc.sock');
    await expect(startRpcServer({ socketPath: path, methods, log: silentLog })).rejects.toThrow(
      RpcSocketError,
    );
    const long = join(folder, 'x'.repeat(120));
    await expect(startRpcServer({ socketPath: long, methods, log: silentLog })).rejects.toThrow(
      'longer than 107 bytes',
    );
  });

  test('is gone after close, and calls under way are answered before', async () => {
    const client = await SpdkClient.connect({ socketPath });
    const call = client.call('wait', { gate: 'last' });
    await eventually(() => expect(gates.has('last')).toBe(true));
    const closing = server.close(5_000);
    gates.get('last')?.();
    expect(await call).toBe('last');
    await closing;
    expect(existsSync(socketPath)).toBe(false);
    server = await startRpcServer({ socketPath, methods, log: silentLog });
  });
});

test('a call that never ends does not hold the close up', async () => {
  const client = await SpdkClient.connect({ socketPath });
  const call = client.call('wait', { gate: 'never' });
  call.catch(() => undefined);
  await eventually(() => expect(gates.has('never')).toBe(true));
  await server.close(50);
  await expect(call).rejects.toMatchObject({ kind: 'timeout' });
  expect(existsSync(socketPath)).toBe(false);
  server = await startRpcServer({ socketPath, methods, log: silentLog });
});

/** Node removes the file when a server closes, so the file is moved away under it, as a kill would leave it. */
async function leaveStaleSocket(path: string): Promise<void> {
  const dying = createServer().listen(`${path}.tmp`);
  await once(dying, 'listening');
  await rename(`${path}.tmp`, path);
  dying.close();
  await once(dying, 'close');
}
