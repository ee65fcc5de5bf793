import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LariatError } from '@lariat/kernel';
import { errorOf, FakeTarget, resultOf, type ReceivedRequest } from './fake-target.fixture.js';
import type { CallOutcome, ObservedCall } from './observer.js';
import { SpdkClient } from './spdk-client.js';
import { SpdkError } from './spdk-error.js';

let target: FakeTarget;
let client: SpdkClient;

beforeEach(async () => {
  target = await FakeTarget.listen();
  client = await SpdkClient.connect({ socketPath: target.socketPath, requestTimeoutMs: 5_000 });
});

afterEach(async () => {
  client.close();
  await target.close();
});

const failure = (promise: Promise<unknown>): Promise<LariatError> =>
  promise.then(
    () => expect.unreachable('the call should have failed'),
    (error: unknown) => error as LariatError,
  );

const received = (number: number): Promise<void> =>
  vi.waitFor(() => expect(target.requests).toHaveLength(number), { timeout: 5_000 });

describe('calls', () => {
  test('send JSON-RPC 2.0 with rising ids and leave out missing params', async () => {
    target.handle((request, socket) => socket.write(resultOf(request, true)));
    await client.call('spdk_get_version');
    await client.call('bdev_get_bdevs', { name: 'x' });
    expect(target.requests).toEqual([
      { jsonrpc: '2.0', id: 1, method: 'spdk_get_version' },
      { jsonrpc: '2.0', id: 2, method: 'bdev_get_bdevs', params: { name: 'x' } },
    ]);
  });

  test('are pipelined, and answered in any order', async () => {
    const held: ReceivedRequest[] = [];
    target.handle((request, socket) => {
      held.push(request);
      if (held.length === 3)
        socket.write(
          held
            .reverse()
            .map((each) => resultOf(each, each.method))
            .join('\n'),
        );
    });
    const answers = await Promise.all([client.call('a'), client.call('b'), client.call('c')]);
    expect(answers).toEqual(['a', 'b', 'c']);
  });

  test('take an answer split at every byte', async () => {
    const answer = (request: ReceivedRequest): Buffer =>
      Buffer.from(resultOf(request, [{ name: 'é"}' }]));
    const { length } = answer({ id: 100, method: '' });
    for (let at = 1; at < length; at += 1) {
      target.handle((request, socket) => {
        const bytes = answer(request);
        socket.setNoDelay(true);
        socket.write(bytes.subarray(0, at), () => socket.write(bytes.subarray(at)));
      });
      expect(await client.call('bdev_get_bdevs')).toEqual([{ name: 'é"}' }]);
    }
  });

  test('reject with the SPDK error, its errno and what it means', async () => {
    target.handle((request, socket) => socket.write(errorOf(request, -19, 'No such device')));
    const error = await failure(client.call('bdev_get_bdevs', { name: 'nope' }));
    expect(error).toBeInstanceOf(SpdkError);
    expect(error).toMatchObject({
      kind: 'not_found',
      code: 'SPDK_NO_DEVICE',
      method: 'bdev_get_bdevs',
      rpcCode: -19,
      errno: 'ENODEV',
      rpcMessage: 'No such device',
      message: 'bdev_get_bdevs failed: No such device (ENODEV)',
    });
  });

  test('end with `timeout` at the deadline, and the late answer is dropped', async () => {
    const late: (() => void)[] = [];
    target.handle((request, socket) => {
      const answer = (): boolean => socket.write(resultOf(request, request.method));
      if (request.method === 'slow') late.push(answer);
      else answer();
    });
    const error = await failure(client.call('slow', undefined, { timeoutMs: 20 }));
    expect(error).toMatchObject({ kind: 'timeout', code: 'SPDK_DEADLINE_EXCEEDED' });
    late.forEach((answer) => answer());
    expect(await client.call('next')).toBe('next');
    expect(client.pendingCalls).toBe(0);
  });
});

describe('a lost connection', () => {
  test('leaves sent calls with an unknown outcome, and tells its owner', async () => {
    const first = failure(client.call('bdev_lvol_create'));
    const second = failure(client.call('bdev_lvol_delete'));
    await received(2);
    target.dropConnections();
    expect(await first).toMatchObject({ kind: 'timeout', code: 'SPDK_CONNECTION_LOST' });
    expect(await second).toMatchObject({ kind: 'timeout', code: 'SPDK_CONNECTION_LOST' });
    expect(await client.closed).toMatchObject({
      kind: 'unavailable',
      code: 'SPDK_CONNECTION_LOST',
    });
    expect(client.isOpen).toBe(false);
  });

  test('refuses later calls as never sent', async () => {
    target.dropConnections();
    await client.closed;
    expect(await failure(client.call('a'))).toMatchObject({
      kind: 'unavailable',
      code: 'SPDK_NOT_CONNECTED',
    });
    expect(client.pendingCalls).toBe(0);
  });

  test('tells calls that were still queued from calls that were written', async () => {
    client.close();
    target.stopReading();
    client = await SpdkClient.connect({ socketPath: target.socketPath });
    const big = { blob: 'x'.repeat(4 << 20) };
    const written = failure(client.call('first', big));
    const queued = failure(client.call('second'));
    target.dropConnections();
    expect(await written).toMatchObject({ kind: 'timeout', code: 'SPDK_CONNECTION_LOST' });
    expect(await queued).toMatchObject({ kind: 'unavailable', code: 'SPDK_NOT_CONNECTED' });
  });

  test('by close() ends what is pending, without a reason', async () => {
    const call = failure(client.call('a'));
    client.close();
    expect(await call).toMatchObject({ kind: 'timeout' });
    expect(await client.closed).toBeUndefined();
  });
});

describe('a peer that is no SPDK', () => {
  test.each([
    ['an unknown id', '{"jsonrpc":"2.0","id":77,"result":true}', 'unknown id 77'],
    ['no result', '{"jsonrpc":"2.0","id":1}', 'neither "result" nor "error"'],
    ['an error without a code', '{"jsonrpc":"2.0","id":1,"error":{}}', 'error.code is undefined'],
    [
      'an error that belongs to no call',
      '{"id":null,"error":{"code":-32700,"message":"Parse error"}}',
      'Parse error',
    ],
    ['no JSON', '{nonsense}', 'it is not JSON'],
    ['an array', '[1]', 'it is not a JSON object'],
    ['broken framing', ']', 'cannot begin a JSON document'],
  ])('that sends %s is left', async (_name, bytes, reason) => {
    target.handle((_request, socket) => socket.write(bytes));
    const error = await failure(client.call('a'));
    expect(error).toMatchObject({ kind: 'timeout', code: 'SPDK_PROTOCOL_ERROR' });
    expect(error.message).toContain(reason);
    expect((await client.closed)?.code).toBe('SPDK_PROTOCOL_ERROR');
  });
});

test('connect says what to do when nobody listens', async () => {
  const error = await failure(SpdkClient.connect({ socketPath: '/nonexistent/rpc.sock' }));
  expect(error).toMatchObject({ kind: 'unavailable', code: 'SPDK_NOT_CONNECTED' });
  expect(error.message).toContain('is it running?');
});

test('an observer sees each call and its end, once', async () => {
  const seen: [ObservedCall, CallOutcome][] = [];
  const observed = await SpdkClient.connect({
    socketPath: target.socketPath,
    observer: { onCall: (call) => ({ end: (outcome) => seen.push([call, outcome]) }) },
  });
  target.handle((request, socket) =>
    socket.write(
      request.method === 'bad' ? errorOf(request, -22, 'Invalid argument') : resultOf(request, 5),
    ),
  );
  await observed.call('good', { n: 1 });
  await failure(observed.call('bad'));
  observed.close();
  await failure(observed.call('late'));
  expect(seen.map(([call, outcome]) => [call.method, call.id, Object.keys(outcome)])).toEqual([
    ['good', 1, ['result']],
    ['bad', 2, ['error']],
    ['late', 3, ['error']],
  ]);
  expect(seen[0]?.[0]).toMatchObject({ params: { n: 1 }, socketPath: target.socketPath });
});
