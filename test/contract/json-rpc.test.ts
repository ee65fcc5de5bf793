import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Lab } from './support/lab.js';
import { TARGET_KINDS } from './support/target-kind.js';
import type { TargetProcess } from './support/target-process.js';
import { waitUntil } from './support/wait-until.js';

interface RawConnection {
  readonly socket: Socket;
  /** What came, whole lines only: each answer is one. */
  readonly lines: () => readonly string[];
  readonly closed: Promise<unknown>;
}

async function connect(path: string): Promise<RawConnection> {
  const socket = createConnection({ path });
  await once(socket, 'connect');
  let text = '';
  socket.on('data', (chunk) => (text += String(chunk)));
  return {
    socket,
    lines: () => text.split('\n').slice(0, -1),
    closed: once(socket, 'close'),
  };
}

describe.each(TARGET_KINDS)('$name: JSON-RPC', (kind) => {
  let lab: Lab;
  let target: TargetProcess;

  beforeAll(async () => {
    if (kind.missing !== undefined) return;
    lab = await Lab.open(kind);
    target = await lab.startTarget();
  });

  afterAll(async () => {
    if (kind.missing === undefined) await lab.close();
  });

  beforeEach((context) => {
    if (kind.missing !== undefined) context.skip(kind.missing);
  });

  /** Sends the pieces, waits for so many lines of answers, and gives them. */
  async function ask(count: number, ...pieces: readonly string[]): Promise<readonly unknown[]> {
    const { socket, lines } = await connect(target.rpcSocket);
    socket.setNoDelay(true);
    for (const piece of pieces) {
      socket.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await waitUntil(`${count} answers`, 10_000, async () => lines().length >= count);
    socket.destroy();
    return lines().map((line) => JSON.parse(line) as unknown);
  }

  const failed = (id: unknown, code: number, message: string): object => ({
    jsonrpc: '2.0',
    id,
    error: { code, message },
  });

  test('takes requests one after another, split anywhere', async () => {
    const request = '{"jsonrpc":"2.0","id":1,"method":"log_get_level"} ';
    const pieces = Array.from({ length: request.length - 1 }, (_, at) => [
      request.slice(0, at + 1),
      request.slice(at + 1),
    ]).flat();
    const answers = await ask(request.length - 1, ...pieces);
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(answers[0]).toMatchObject({ jsonrpc: '2.0', id: 1, result: expect.any(String) });
  });

  test('answers a batch with one array, less its notifications', async () => {
    const [answer] = await ask(
      1,
      '[{"jsonrpc":"2.0","id":"a","method":"log_get_level"},{"method":"log_get_level"},',
      '{"id":2,"method":"nope"}, 7]',
    );
    expect(answer).toHaveLength(3);
    expect(answer).toEqual(
      expect.arrayContaining([
        { jsonrpc: '2.0', id: 'a', result: expect.any(String) },
        failed(2, -32601, 'Method not found'),
        failed(null, -32600, 'Invalid request'),
      ]),
    );
  });

  test('answers what is no request, and goes on', async () => {
    const answers = await ask(
      6,
      '[] 7 {"id":1} {"id":1,"method":"log_get_level","more":1}',
      '{"id":1,"id":1,"method":"log_get_level"} {"id":1,"method":"log_get_level","params":7}',
    );
    expect(answers).toEqual(
      Array.from({ length: 6 }, () => failed(null, -32600, 'Invalid request')),
    );
  });

  test('carries a notification out without an answer, but tells of its failure', async () => {
    const answers = await ask(
      2,
      '{"method":"log_set_level","params":{"level":"WARNING"}}',
      '{"method":"log_set_level"}{"id":3,"method":"log_get_level"}',
    );
    expect(answers).toEqual([
      failed(null, -32603, 'spdk_json_decode_object failed'),
      { jsonrpc: '2.0', id: 3, result: 'WARNING' },
    ]);
  });

  test('returns an id as it came', async () => {
    const { socket, lines } = await connect(target.rpcSocket);
    socket.write('{"id":18446744073709551615,"method":"log_get_level"}');
    await waitUntil('an answer', 10_000, async () => lines().length > 0);
    socket.destroy();
    expect(lines()[0]).toMatch(/"id": ?18446744073709551615,/);
  });

  test('tells its subsystems, and the calls that lead to each', async () => {
    expect(await target.rpc.call('framework_get_subsystems')).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ subsystem: 'bdev' }),
        { subsystem: 'nvmf', depends_on: expect.arrayContaining(['bdev']) },
      ]),
    );
    await target.rpc.call('bdev_malloc_create', { name: 'm', block_size: 4096, num_blocks: 64 });
    await target.exportBdev('nqn.2026-01.io.lariat:shown', 'm', 'nqn.2026-01.io.lariat:host');
    expect(await target.rpc.call('framework_get_config', { name: 'bdev' })).toEqual(
      expect.arrayContaining([
        {
          method: 'bdev_malloc_create',
          params: expect.objectContaining({ name: 'm', block_size: 4096, num_blocks: 64 }),
        },
        { method: 'bdev_wait_for_examine' },
      ]),
    );
    const nvmf = await target.rpc.call('framework_get_config', { name: 'nvmf' });
    expect(nvmf).toEqual(
      expect.arrayContaining(
        ['transport', 'subsystem'].map((what) =>
          expect.objectContaining({ method: `nvmf_create_${what}` }),
        ),
      ),
    );
    expect(nvmf).toContainEqual(
      expect.objectContaining({
        method: 'nvmf_subsystem_add_ns',
        params: expect.objectContaining({
          nqn: 'nqn.2026-01.io.lariat:shown',
          namespace: expect.objectContaining({ nsid: 1, bdev_name: 'm' }),
        }),
      }),
    );
  });

  test('tells of its one process and at least one reactor', async () => {
    const answer = await target.rpc.call('framework_get_reactors');
    expect(answer).toMatchObject({ pid: expect.any(Number), tick_rate: expect.any(Number) });
    expect(answer).toMatchObject({
      reactors: expect.arrayContaining([
        expect.objectContaining({ busy: expect.any(Number), idle: expect.any(Number) }),
      ]),
    });
  });

  test.each(['}', '{"id":1,]', '[01]', '"\\x"', '['.repeat(70)])(
    'ends the connection at %s',
    async (bytes) => {
      const { socket, closed } = await connect(target.rpcSocket);
      socket.on('error', () => undefined);
      socket.write(bytes);
      await closed;
      expect(await target.rpc.call('log_get_level')).toEqual(expect.any(String));
    },
  );
});
