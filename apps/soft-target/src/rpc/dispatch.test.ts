import { noFaultPoints } from '@lariat/kernel';
import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import { describe, expect, test } from 'vitest';
import { silentLog } from '../app/log.js';
import { decodeObject, opt, str } from './decode.js';
import { dispatch } from './dispatch.js';
import { method, type MethodTable } from './method.js';
import { RpcError } from './rpc-error.js';

const methods: MethodTable = {
  echo: method(decodeObject({ text: str }), ({ text }) => text),
  refuse: method(decodeObject({}), () => {
    throw RpcError.errno('ENODEV');
  }),
  // Names of SPDK's, for the ways in which each answers parameters that do not fit.
  bdev_aio_delete: method(decodeObject({ name: str }), () => true),
  bdev_get_bdevs: method(decodeObject({ name: opt(str) }), () => []),
  bdev_raid_delete: method(decodeObject({ name: str }), () => true),
  spdk_get_version: method(decodeObject({}), () => '1'),
  bug: method(decodeObject({}), () => {
    throw new TypeError('secret detail');
  }),
  unplugged: method(decodeObject({}), () => {
    throw new BlockIoError(BlockIoFailure.gone, 'disk was removed');
  }),
};

async function ask(value: unknown): Promise<unknown> {
  const answer = await dispatch(value, { methods, log: silentLog, faults: noFaultPoints });
  return answer === undefined ? undefined : JSON.parse(answer);
}

const failed = (id: unknown, code: number, message: string): object => ({
  jsonrpc: '2.0',
  id,
  error: { code, message },
});

describe('a request', () => {
  test.each([
    [
      'with a number id',
      { jsonrpc: '2.0', id: 1, method: 'echo', params: { text: 'a' } },
      { jsonrpc: '2.0', id: 1, result: 'a' },
    ],
    [
      'with a string id',
      { jsonrpc: '2.0', id: 'x', method: 'echo', params: { text: 'a' } },
      { jsonrpc: '2.0', id: 'x', result: 'a' },
    ],
    [
      'without a version',
      { id: 0, method: 'echo', params: { text: '' } },
      { jsonrpc: '2.0', id: 0, result: '' },
    ],
    ['of no known method', { id: 1, method: 'toString' }, failed(1, -32601, 'Method not found')],
    ['without a parameter', { id: 1, method: 'echo' }, failed(1, -32602, 'Invalid parameters')],
    [
      'with null parameters',
      { id: 1, method: 'refuse', params: null },
      failed(1, -19, 'No such device'),
    ],
    [
      'with an unknown parameter',
      { id: 1, method: 'refuse', params: { x: 1 } },
      failed(1, -32602, 'Invalid parameters'),
    ],
    [
      'with parameters by position',
      { id: 1, method: 'echo', params: ['a'] },
      failed(1, -32602, 'Invalid parameters'),
    ],
    ['whose disk goes away', { id: 1, method: 'unplugged' }, failed(1, -19, 'No such device')],
    ['that meets a bug', { id: 1, method: 'bug' }, failed(1, -32603, 'Internal error')],
    [
      'of another version',
      { jsonrpc: '1.0', id: 1, method: 'echo' },
      failed(null, -32600, 'Invalid request'),
    ],
    ['without a method', { id: 1 }, failed(null, -32600, 'Invalid request')],
    ['with a boolean id', { id: true, method: 'echo' }, failed(null, -32600, 'Invalid request')],
    [
      'with a field too much',
      { id: 1, method: 'echo', extra: 1 },
      failed(null, -32600, 'Invalid request'),
    ],
    [
      'with text as parameters',
      { id: 1, method: 'echo', params: 'a' },
      failed(null, -32600, 'Invalid request'),
    ],
    ['that is a number', 5, failed(null, -32600, 'Invalid request')],
    ['that is null', null, failed(null, -32600, 'Invalid request')],
    ['that is an empty batch', [], failed(null, -32600, 'Invalid request')],
  ])('%s', async (_name, request, answer) => {
    expect(await ask(request)).toEqual(answer);
  });

  test.each([
    ['missing', { method: 'echo', params: { text: 'a' } }],
    ['null', { id: null, method: 'echo', params: { text: 'a' } }],
  ])('whose id is %s is carried out and not answered', async (_name, request) => {
    expect(await ask(request)).toBeUndefined();
  });

  test('without an id is answered when it fails', async () => {
    expect(await ask({ method: 'refuse' })).toEqual(failed(null, -19, 'No such device'));
  });
});

describe('parameters that do not fit', () => {
  const params = (method: string, value?: unknown): Promise<unknown> =>
    ask({ id: 1, method, params: value });

  test.each([
    ['bdev_aio_delete', { name: 1 }, -32603, 'spdk_json_decode_object failed'],
    ['bdev_aio_delete', undefined, -32603, 'spdk_json_decode_object failed'],
    ['bdev_aio_delete', ['a'], -32603, 'spdk_json_decode_object failed'],
    ['bdev_aio_delete', { name: 'a\0b' }, -32603, 'spdk_json_decode_object failed'],
    ['bdev_get_bdevs', { x: 1 }, -32603, 'spdk_json_decode_object failed'],
    ['bdev_raid_delete', {}, -32700, 'spdk_json_decode_object failed'],
    ['spdk_get_version', {}, -32602, 'spdk_get_version method requires no parameters'],
    ['echo', { text: null }, -32602, 'Invalid parameters'],
  ])('%s %j', async (method, value, code, message) => {
    expect(await params(method, value)).toEqual(failed(1, code, message));
  });

  test('are not those that may be left out', async () => {
    expect(await params('bdev_get_bdevs')).toEqual({ jsonrpc: '2.0', id: 1, result: [] });
    expect(await params('spdk_get_version', null)).toEqual({ jsonrpc: '2.0', id: 1, result: '1' });
  });
});

describe('a batch', () => {
  test('is answered with one array, notifications left out', async () => {
    const answers = await ask([
      { id: 1, method: 'echo', params: { text: 'a' } },
      { method: 'echo', params: { text: 'unheard' } },
      7,
      { id: 2, method: 'refuse' },
    ]);
    expect(answers).toEqual(
      expect.arrayContaining([
        { jsonrpc: '2.0', id: 1, result: 'a' },
        failed(null, -32600, 'Invalid request'),
        failed(2, -19, 'No such device'),
      ]),
    );
    expect(answers).toHaveLength(3);
  });

  test('of notifications alone is not answered', async () => {
    expect(await ask([{ method: 'echo', params: { text: 'a' } }])).toBeUndefined();
  });
});

test('fault points stand before and after each handler', async () => {
  const reached: string[] = [];
  const faults = { reach: (name: string) => void reached.push(name) };
  await dispatch(
    { id: 1, method: 'echo', params: { text: 'a' } },
    { methods, log: silentLog, faults },
  );
  await dispatch({ id: 2, method: 'refuse' }, { methods, log: silentLog, faults });
  expect(reached).toEqual(['rpc/echo/before', 'rpc/echo/after', 'rpc/refuse/before']);
});
