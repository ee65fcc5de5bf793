import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Bdev } from '../bdev.js';
import { makeTestFolder, startBdevStack, type BdevStack } from '../stack-fixture.js';
import { DelayBdev } from './delay-bdev.js';
import { nameUuid } from './name-uuid.js';

const BLOCK = 512;
const UUID = '11111111-2222-4333-8444-555555555555';
const BASE = { name: 'm', block_size: BLOCK, num_blocks: 256, uuid: UUID };
const LATENCIES = {
  avg_read_latency: 0,
  p99_read_latency: 0,
  avg_write_latency: 0,
  p99_write_latency: 0,
};

let stack: BdevStack;
let remove: () => Promise<void>;

beforeEach(async () => {
  const [folder, removeFolder] = await makeTestFolder();
  remove = removeFolder;
  stack = startBdevStack(folder);
});

afterEach(async () => {
  await stack.close();
  await remove();
});

function bdev(name: string): Bdev {
  const found = stack.registry.find(name);
  if (found === undefined) throw new Error(`${name} is missing`);
  return found;
}

const block = (byte: number): Buffer => Buffer.alloc(BLOCK, byte);
const failsWith = (code: number, message: string) => expect.objectContaining({ code, message });

/** What a promise is so far: it is looked at after all that can go on without a timer has. */
async function stateOf(promise: Promise<unknown>): Promise<string> {
  let state = 'pending';
  promise.then(
    () => (state = 'done'),
    () => (state = 'failed'),
  );
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  return state;
}

test('a name in a namespace has the uuid that RFC 9562 gives as its example', () => {
  expect(nameUuid('6ba7b810-9dad-11d1-80b4-00c04fd430c8', Buffer.from('www.example.com'))).toBe(
    '2ed6657d-e927-568b-95e1-2665a8aea6a2',
  );
});

describe.each([
  ['delay', 'D', 'bdev_delay', { name: 'D', base_bdev_name: 'm', ...LATENCIES }],
  ['error', 'EE_m', 'bdev_error', { base_name: 'm' }],
])('a bdev of the %s module', (module, name, prefix, params) => {
  const create = (): Promise<unknown> => stack.call(`${prefix}_create`, params);
  const uuidOf = (): string => bdev(name).uuid;

  test('passes I/O on, and holds its base', async () => {
    await stack.call('bdev_malloc_create', BASE);
    await create();
    await bdev(name).write(BLOCK, block(7));
    expect(await bdev('m').read(0, 3 * BLOCK)).toEqual(
      Buffer.concat([block(0), block(7), block(0)]),
    );
    await bdev(name).unmap(BLOCK, BLOCK);
    await bdev(name).writeZeroes(0, BLOCK);
    await bdev(name).flush();
    expect(await bdev(name).read(BLOCK, BLOCK)).toEqual(block(0));
    expect(await stack.call('bdev_get_bdevs', { name: 'm' })).toMatchObject([{ claimed: true }]);
    await expect(
      stack.call('bdev_raid_create', { name: 'r', raid_level: 'raid1', base_bdevs: ['m'] }),
    ).rejects.toMatchObject({ code: -1 });
  });

  test('has a uuid that follows from its base, or the one it is given', async () => {
    await stack.call('bdev_malloc_create', BASE);
    await create();
    const derived = uuidOf();
    expect(derived).not.toBe(UUID);
    await stack.call(`${prefix}_delete`, { name });
    await create();
    expect(uuidOf()).toBe(derived);
    await stack.call(`${prefix}_delete`, { name });
    const given = '99999999-2222-4333-8444-555555555555';
    await stack.call(`${prefix}_create`, { ...params, uuid: given });
    expect(uuidOf()).toBe(given);
  });

  test('waits for its base', async () => {
    await create();
    expect(stack.registry.find(name)).toBeUndefined();
    await expect(stack.call(`${prefix}_delete`, { name })).rejects.toEqual(
      failsWith(-19, 'No such device'),
    );
    await stack.call('bdev_malloc_create', BASE);
    expect(bdev(name).sizeBytes).toBe(256 * BLOCK);
  });

  test('goes with its base', async () => {
    await stack.call('bdev_malloc_create', BASE);
    await create();
    const stale = bdev(name);
    await stack.call('bdev_malloc_delete', { name: 'm' });
    expect(stack.registry.list()).toEqual([]);
    await expect(stale.read(0, BLOCK)).rejects.toMatchObject({ failure: 'gone' });
    await stack.call('bdev_malloc_create', BASE);
    // The delay module remembers what it was told, the error module forgets it with the bdev.
    expect(stack.registry.find(name) !== undefined).toBe(module === 'delay');
  });

  test('is not made twice, nor of a base that is taken', async () => {
    await stack.call('bdev_malloc_create', BASE);
    await create();
    await expect(create()).rejects.toEqual(failsWith(-17, 'File exists'));
    await stack.call(`${prefix}_delete`, { name });
    await stack.call('bdev_raid_create', { name: 'r', raid_level: 'raid1', base_bdevs: ['m'] });
    await expect(create()).rejects.toEqual(failsWith(-1, 'Operation not permitted'));
    await stack.call('bdev_raid_delete', { name: 'r' });
    await create();
    await stack.call(`${prefix}_delete`, { name });
    expect(await stack.call('bdev_get_bdevs', { name: 'm' })).toMatchObject([{ claimed: false }]);
  });

  test('of another module is not deleted', async () => {
    await stack.call('bdev_malloc_create', BASE);
    for (const other of ['m', 'nope']) {
      await expect(stack.call(`${prefix}_delete`, { name: other })).rejects.toEqual(
        failsWith(-19, 'No such device'),
      );
    }
  });
});

describe('a delay bdev', () => {
  const delayed = (latency: object): Promise<unknown> =>
    stack.call('bdev_delay_create', { name: 'D', base_bdev_name: 'm', ...LATENCIES, ...latency });

  beforeEach(async () => {
    await stack.call('bdev_malloc_create', BASE);
    await stack.call('bdev_wait_for_examine');
    // Malloc bdevs answer in the next turn, which stays real.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });

  afterEach(() => vi.useRealTimers());

  async function stateAfter(ms: number, promise: Promise<unknown>): Promise<string> {
    await vi.advanceTimersByTimeAsync(ms);
    return stateOf(promise);
  }

  test('holds answers back for as long as told, and nothing else', async () => {
    await delayed({ avg_read_latency: 400_000, p99_read_latency: 400_000 });
    // Without a moment passing.
    await bdev('D').write(0, block(1));
    await bdev('D').writeZeroes(BLOCK, BLOCK);
    await bdev('D').flush();
    const reads = Promise.all([bdev('D').read(0, BLOCK), bdev('D').read(0, BLOCK)]);
    expect(await stateOf(reads)).toBe('pending');
    expect(await stateAfter(399, reads)).toBe('pending');
    expect(await stateAfter(1, reads)).toBe('done');
  });

  test('takes another latency for what its base answers from then on, without overtaking', async () => {
    await delayed({ avg_write_latency: 400_000, p99_write_latency: 400_000 });
    const slow = bdev('D').write(0, block(1));
    expect(await stateOf(slow)).toBe('pending');
    for (const type of ['avg_write', 'p99_write']) {
      await stack.call('bdev_delay_update_latency', {
        delay_bdev_name: 'D',
        latency_type: type,
        latency_us: 0,
      });
    }
    const second = bdev('D').write(0, block(2));
    expect(await stateAfter(399, second)).toBe('pending');
    expect(await stateAfter(1, second)).toBe('done');
    await slow;
    await bdev('D').write(0, block(3));
    expect(bdev('D').describe()).toEqual({
      delay: { ...LATENCIES, name: 'D', base_bdev_name: 'm', uuid: bdev('D').uuid },
    });
  });

  test('gives the slowest hundredth a latency of its own', async () => {
    let drawn = 0.01;
    const one = new DelayBdev({
      name: 'one',
      uuid: UUID,
      base: bdev('m'),
      latenciesUs: { avg_read: 0, p99_read: 400_000, avg_write: 0, p99_write: 0 },
      random: () => drawn,
    });
    await one.read(0, BLOCK);
    drawn = 0.0099;
    const slowest = one.read(0, BLOCK);
    expect(await stateOf(slowest)).toBe('pending');
    expect(await stateAfter(399, slowest)).toBe('pending');
    expect(await stateAfter(1, slowest)).toBe('done');
  });

  test('refuses latencies that make no sense, and an update of what is none', async () => {
    await expect(delayed({ avg_read_latency: 2, p99_read_latency: 1 })).rejects.toEqual(
      failsWith(-22, 'Invalid argument'),
    );
    await expect(
      stack.call('bdev_delay_update_latency', {
        delay_bdev_name: 'nope',
        latency_type: 'avg_read',
        latency_us: 1,
      }),
    ).rejects.toEqual(failsWith(-32602, 'The requested bdev does not exist.'));
  });
});

describe('an error bdev', () => {
  beforeEach(async () => {
    await stack.call('bdev_malloc_create', BASE);
    await stack.call('bdev_error_create', { base_name: 'm' });
    // The look for an lvol store on the new bdev would meet what is injected.
    await stack.call('bdev_wait_for_examine');
  });

  const inject = (params: object): Promise<unknown> =>
    stack.call('bdev_error_inject_error', { name: 'EE_m', ...params });
  const media = expect.objectContaining({ failure: 'media' });

  test('fails as many I/Os of a kind as told', async () => {
    const target = bdev('EE_m');
    await inject({ io_type: 'write', error_type: 'failure', num: 2 });
    await target.read(0, BLOCK);
    await target.writeZeroes(0, BLOCK);
    await expect(target.write(0, block(1))).rejects.toEqual(media);
    await expect(target.write(0, block(1))).rejects.toEqual(media);
    expect(await bdev('m').read(0, BLOCK)).toEqual(block(0));
    await target.write(0, block(1));
    expect(await bdev('m').read(0, BLOCK)).toEqual(block(1));
  });

  test('fails one I/O of each kind with "all", and none once cleared', async () => {
    const target = bdev('EE_m');
    await inject({ io_type: 'all', error_type: 'failure' });
    await expect(target.read(0, BLOCK)).rejects.toEqual(media);
    await expect(target.unmap(0, BLOCK)).rejects.toEqual(media);
    await expect(target.flush()).rejects.toEqual(media);
    await inject({ io_type: 'clear', error_type: 'failure' });
    await target.write(0, block(1));
  });

  test('gives the NVMe status that it is told, as far as there is a like', async () => {
    const target = bdev('EE_m');
    await inject({ io_type: 'write', error_type: 'nvme_failure', nvme_sct: 0, nvme_sc: 0x81 });
    await expect(target.write(0, block(1))).rejects.toMatchObject({ failure: 'no-space' });
    await expect(
      inject({ io_type: 'write', error_type: 'nvme_failure', nvme_sct: 7, nvme_sc: 1 }),
    ).rejects.toEqual(failsWith(-95, 'Operation not supported'));
    const message = 'nvme_sct or nvme_sc should be specified for NVMe error injection';
    await expect(inject({ io_type: 'write', error_type: 'nvme_failure' })).rejects.toEqual(
      failsWith(-22, message),
    );
    await expect(inject({ io_type: 'write', error_type: 'failure', nvme_sc: 1 })).rejects.toEqual(
      failsWith(-22, message),
    );
  });

  test('spoils one byte of what is read, or of what is written', async () => {
    const target = bdev('EE_m');
    const data = Buffer.alloc(2 * BLOCK, 0x0f);
    const corrupt = { error_type: 'corrupt_data', corrupt_offset: 600, corrupt_value: 0xff };
    await inject({ io_type: 'write', ...corrupt });
    await target.write(BLOCK, data);
    const spoilt = Buffer.from(data);
    spoilt.writeUInt8(0xf0, 600);
    expect(data).toEqual(Buffer.alloc(2 * BLOCK, 0x0f));
    expect(await bdev('m').read(BLOCK, 2 * BLOCK)).toEqual(spoilt);
    await inject({ io_type: 'read', ...corrupt, num: 2 });
    expect(await target.read(BLOCK, 2 * BLOCK)).toEqual(data);
    // The byte is past the end of this one.
    expect(await target.read(BLOCK, BLOCK)).toEqual(block(0x0f));
    expect(await target.read(BLOCK, 2 * BLOCK)).toEqual(spoilt);
    await expect(inject({ io_type: 'read', error_type: 'corrupt_data' })).rejects.toEqual(
      failsWith(-22, 'Invalid argument'),
    );
  });

  test('holds I/O until it is resumed', async () => {
    const target = bdev('EE_m');
    await inject({ io_type: 'write', error_type: 'pending', num: 5 });
    const held = [1, 2].map((byte) => target.write((byte - 1) * BLOCK, block(byte)));
    expect(await stateOf(Promise.race(held))).toBe('pending');
    expect(await bdev('m').read(0, BLOCK)).toEqual(block(0));
    await stack.call('bdev_error_resume_pending', { name: 'EE_m' });
    await Promise.all(held);
    expect(await bdev('m').read(0, 2 * BLOCK)).toEqual(Buffer.concat([block(1), block(2)]));
    await target.write(0, block(3));
  });

  test('ends what it holds when it is deleted', async () => {
    await inject({ io_type: 'read', error_type: 'pending' });
    const held = bdev('EE_m').read(0, BLOCK);
    expect(await stateOf(held)).toBe('pending');
    const outcomes = Promise.allSettled([held]);
    await stack.call('bdev_error_delete', { name: 'EE_m' });
    expect(await outcomes).toMatchObject([{ reason: { failure: 'aborted' } }]);
  });

  test('tries again what had no memory', async () => {
    await inject({ io_type: 'write', error_type: 'nomem', num: 3 });
    await bdev('EE_m').write(0, block(1));
    expect(await bdev('m').read(0, BLOCK)).toEqual(block(1));
  });

  test('waits for a queue depth', async () => {
    const target = bdev('EE_m');
    await inject({ io_type: 'write', error_type: 'failure', num: 9, queue_depth: 2 });
    const outcomes = await Promise.allSettled(
      [1, 2, 3].map((byte) => target.write(0, block(byte))),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    await target.write(0, block(4));
  });

  test('a raid1 loses a leg to it, and nothing else', async () => {
    await stack.call('bdev_malloc_create', { ...BASE, name: 'n', uuid: undefined });
    await stack.call('bdev_raid_create', {
      name: 'r',
      raid_level: 'raid1',
      base_bdevs: ['EE_m', 'n'],
    });
    await bdev('r').write(0, block(1));
    await inject({ io_type: 'write', error_type: 'failure' });
    await bdev('r').write(0, block(2));
    expect(await stack.call('bdev_raid_get_bdevs', { category: 'online' })).toMatchObject([
      { num_base_bdevs_operational: 1, base_bdevs_list: [{ name: null }, { name: 'n' }] },
    ]);
    expect(await bdev('r').read(0, BLOCK)).toEqual(block(2));
    expect(await bdev('m').read(0, BLOCK)).toEqual(block(1));
  });

  test('other bdevs take no errors', async () => {
    for (const name of ['m', 'nope']) {
      await expect(
        stack.call('bdev_error_inject_error', { name, io_type: 'all', error_type: 'failure' }),
      ).rejects.toEqual(failsWith(-19, 'No such device'));
      await expect(stack.call('bdev_error_resume_pending', { name })).rejects.toEqual(
        failsWith(-19, 'No such device'),
      );
    }
  });
});
