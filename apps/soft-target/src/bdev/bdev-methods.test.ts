import { open, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Bdev } from './bdev.js';
import { makeTestFolder, startBdevStack, type BdevStack } from './stack-fixture.js';

const BLOCK = 4096;

let stack: BdevStack;
let folder: string;
let remove: () => Promise<void>;

beforeEach(async () => {
  [folder, remove] = await makeTestFolder();
  stack = startBdevStack(join(folder, 'state'));
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

const fails = (code: number, message: string) => expect.objectContaining({ code, message });
const createMalloc = (name = 'm'): Promise<unknown> =>
  stack.call('bdev_malloc_create', { name, block_size: BLOCK, num_blocks: 1024 });

describe('bdev_get_iostat', () => {
  interface Stat {
    readonly [field: string]: unknown;
    readonly max_read_latency_ticks: number;
    readonly min_read_latency_ticks: number;
  }
  const stats = async (params: object = {}): Promise<readonly Stat[]> =>
    ((await stack.call('bdev_get_iostat', { ...params })) as { bdevs: readonly Stat[] }).bdevs;

  /** A new bdev has been read already, by the look for an lvol store. */
  const forget = async (): Promise<void> => {
    await stack.call('bdev_wait_for_examine');
    await stack.call('bdev_reset_iostat');
  };

  beforeEach(async () => {
    await createMalloc();
    await forget();
  });

  test('counts what has succeeded by kind, and what has failed by status', async () => {
    await stack.call('bdev_error_create', { base_name: 'm' });
    await forget();
    const target = bdev('EE_m');
    await target.write(0, Buffer.alloc(2 * BLOCK));
    await target.read(0, BLOCK);
    await target.unmap(0, 4 * BLOCK);
    await target.writeZeroes(0, 8 * BLOCK);
    await target.flush();
    await stack.call('bdev_error_inject_error', {
      name: 'EE_m',
      io_type: 'all',
      error_type: 'failure',
    });
    await Promise.allSettled([target.read(0, BLOCK), target.flush()]);
    expect(await stats({ names: ['EE_m'] })).toMatchObject([
      {
        name: 'EE_m',
        num_write_ops: 1,
        bytes_written: 2 * BLOCK,
        num_read_ops: 1,
        bytes_read: BLOCK,
        num_unmap_ops: 1,
        bytes_unmapped: 4 * BLOCK,
        io_error: { failed: 2 },
      },
    ]);
  });

  test('forgets what it is told to', async () => {
    await stack.call('bdev_error_create', { base_name: 'm' });
    await forget();
    const inject = { name: 'EE_m', io_type: 'write', error_type: 'failure' };
    await stack.call('bdev_error_inject_error', inject);
    await Promise.allSettled([bdev('EE_m').write(0, Buffer.alloc(BLOCK))]);
    await bdev('EE_m').read(0, BLOCK);
    const names = ['EE_m'];
    const [first] = await stats({ names, reset_mode: 'none' });
    expect(first?.min_read_latency_ticks).toBeGreaterThan(0);
    expect(await stats({ names, reset_mode: 'maxmin' })).toEqual([first]);
    const [bare] = await stats({ names, reset_mode: 'error' });
    expect(bare).toEqual({ ...first, max_read_latency_ticks: 0, min_read_latency_ticks: 0 });
    expect(await stats({ names, reset_mode: 'all' })).toEqual([{ ...bare, io_error: {} }]);
    expect(await stats({ names })).toMatchObject([{ num_read_ops: 0, bytes_read: 0 }]);
    await bdev('EE_m').read(0, BLOCK);
    await stack.call('bdev_reset_iostat', { name: 'nope', mode: 'none' });
    await expect(stack.call('bdev_reset_iostat', { name: 'nope' })).rejects.toEqual(
      fails(-19, 'No such device'),
    );
    expect(await stats({ names })).toMatchObject([{ num_read_ops: 1 }]);
    await stack.call('bdev_reset_iostat');
    expect(await stats({ names })).toMatchObject([{ num_read_ops: 0 }]);
  });

  test('tells the channels of one bdev', async () => {
    await bdev('m').read(0, BLOCK);
    expect(await stack.call('bdev_get_iostat', { names: ['m'], per_channel: true })).toMatchObject({
      name: 'm',
      channels: [{ thread_id: 1, num_read_ops: 1 }],
    });
    for (const names of [undefined, ['m', 'm'], []]) {
      await expect(
        stack.call('bdev_get_iostat', {
          ...(names === undefined ? {} : { names }),
          per_channel: true,
        }),
      ).rejects.toEqual(fails(-22, 'Invalid argument'));
    }
  });
});

describe('bdev_set_qos_limit', () => {
  const limit = (limits: object): Promise<unknown> =>
    stack.call('bdev_set_qos_limit', { name: 'm', ...limits });

  beforeEach(async () => {
    await createMalloc();
    await stack.call('bdev_wait_for_examine');
    // Malloc bdevs answer in the next turn, which stays real.
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });

  afterEach(() => vi.useRealTimers());

  /** How many of them have been answered when the clock has gone on by so much. */
  async function answeredAfter(ms: number, ios: readonly Promise<unknown>[]): Promise<number> {
    let answered = 0;
    for (const io of ios) void io.then(() => (answered += 1));
    await vi.advanceTimersByTimeAsync(ms);
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    return answered;
  }

  test.each([
    ['w_mbytes_per_sec', 2, (m: Bdev) => m.write(0, Buffer.alloc(MIB))],
    ['r_mbytes_per_sec', 2, (m: Bdev) => m.read(0, MIB)],
    ['rw_mbytes_per_sec', 2, (m: Bdev) => m.read(0, MIB)],
  ])('keeps I/O to %s %d', async (name, value, io) => {
    await limit({ [name]: value });
    const ios = [io(bdev('m')), io(bdev('m')), io(bdev('m'))];
    // The third starts when the first two have been paid for, less what I/O may run ahead.
    expect(await answeredAfter(0, ios)).toBe(1);
    expect(await answeredAfter(490, ios)).toBe(1);
    expect(await answeredAfter(490, ios)).toBe(2);
    expect(await answeredAfter(20, ios)).toBe(3);
  });

  test('keeps I/Os to a number a second, in steps of 1,000', async () => {
    await limit({ rw_ios_per_sec: 1 });
    expect(await stack.call('bdev_get_bdevs', { name: 'm' })).toMatchObject([
      { assigned_rate_limits: { rw_ios_per_sec: 1000, rw_mbytes_per_sec: 0 } },
    ]);
    const ios = Array.from({ length: 301 }, () => bdev('m').read(0, BLOCK));
    expect(await answeredAfter(290, ios)).toBeLessThan(301);
    expect(await answeredAfter(10, ios)).toBe(301);
  });

  test('lets zeroing and unmapping pass', async () => {
    await limit({ rw_mbytes_per_sec: 1 });
    // Without a moment passing.
    for (let i = 0; i < 4; i += 1) {
      await bdev('m').unmap(0, 4 * MIB);
      await bdev('m').writeZeroes(0, 4 * MIB);
    }
    expect(vi.getTimerCount()).toBe(0);
  });

  test('frees what waits when the limit is lifted', async () => {
    await limit({ w_mbytes_per_sec: 1 });
    const writes = Array.from({ length: 30 }, () => bdev('m').write(0, Buffer.alloc(MIB)));
    expect(await answeredAfter(0, writes)).toBe(1);
    await limit({ w_mbytes_per_sec: 0 });
    expect(await answeredAfter(0, writes)).toBe(30);
  });

  test('refuses what it cannot do', async () => {
    await expect(limit({})).rejects.toEqual(fails(-22, 'No rate limits specified'));
    await expect(limit({ name: 'nope', rw_ios_per_sec: 1 })).rejects.toEqual(
      fails(-19, 'No such device'),
    );
  });
});

describe('bdev_aio_rescan', () => {
  let path: string;

  beforeEach(async () => {
    path = join(folder, 'disk');
    await writeFile(path, Buffer.alloc(8 * BLOCK));
    await stack.call('bdev_aio_create', { name: 'disk', filename: path, block_size: BLOCK });
  });

  afterEach(() => stack.call('bdev_aio_delete', { name: 'disk' }).catch(() => undefined));

  const rescan = (): Promise<unknown> => stack.call('bdev_aio_rescan', { name: 'disk' });

  test('takes up growth, and tells of it once', async () => {
    const events: string[] = [];
    stack.registry.listen((event, each) => events.push(`${event} ${each.name}`));
    await truncate(path, 12 * BLOCK + 512);
    expect(await rescan()).toBe(true);
    expect(bdev('disk').sizeBytes).toBe(12 * BLOCK);
    await rescan();
    expect(events).toEqual(['bdev_resize disk']);
  });

  test('refuses to shrink', async () => {
    await truncate(path, 4 * BLOCK);
    await expect(rescan()).rejects.toEqual(fails(-16, 'Device or resource busy'));
    expect(bdev('disk').sizeBytes).toBe(8 * BLOCK);
  });

  test('removes a disk that holds nothing any more', async () => {
    await truncate(path, 0);
    expect(await rescan()).toBe(true);
    expect(stack.registry.list()).toEqual([]);
  });
});

test('bdev_get_bdevs waits for a bdev, but no longer than told', async () => {
  const waiting = stack.call('bdev_get_bdevs', { name: 'm', timeout: 60_000 });
  await createMalloc();
  expect(await waiting).toMatchObject([{ name: 'm' }]);
  await expect(stack.call('bdev_get_bdevs', { name: 'n', timeout: 20 })).rejects.toEqual(
    fails(-110, 'Connection timed out'),
  );
  await expect(stack.call('bdev_get_bdevs', { name: 'n' })).rejects.toEqual(
    fails(-19, 'No such device'),
  );
});

test('bdev_examine opens a store on a volume, and nothing that is examined by itself', async () => {
  const path = join(folder, 'disk');
  const file = await open(path, 'w');
  await file.truncate(64 * MIB);
  await file.close();
  await stack.call('bdev_aio_create', { name: 'disk', filename: path, block_size: BLOCK });
  const raid = { name: 'r', raid_level: 'concat', strip_size_kb: 64, base_bdevs: ['disk'] };
  await stack.call('bdev_raid_create', raid);
  await stack.call('bdev_lvol_create_lvstore', { bdev_name: 'r', lvs_name: 's' });
  await stack.call('bdev_raid_delete', { name: 'r' });
  expect(await stack.call('bdev_lvol_get_lvstores')).toEqual([]);
  await stack.call('bdev_raid_create', raid);
  await stack.call('bdev_wait_for_examine');
  expect(await stack.call('bdev_lvol_get_lvstores')).toEqual([]);
  for (const name of ['disk', 'nope']) {
    await expect(stack.call('bdev_examine', { name })).rejects.toEqual(
      fails(-22, 'Invalid argument'),
    );
  }
  await stack.call('bdev_examine', { name: 'r' });
  expect(await stack.call('bdev_lvol_get_lvstores')).toMatchObject([{ name: 's', base_bdev: 'r' }]);
  await stack.call('bdev_raid_delete', { name: 'r' });
  await stack.call('bdev_aio_delete', { name: 'disk' });
});

test('a store comes up on an error bdev, and not on its base beside it', async () => {
  const path = join(folder, 'disk');
  const file = await open(path, 'w');
  await file.truncate(64 * MIB);
  await file.close();
  const create = (): Promise<unknown> =>
    stack.call('bdev_aio_create', { name: 'disk', filename: path, block_size: BLOCK });
  await create();
  await stack.call('bdev_error_create', { base_name: 'disk' });
  await stack.call('bdev_lvol_create_lvstore', { bdev_name: 'EE_disk', lvs_name: 's' });
  await stack.call('bdev_aio_delete', { name: 'disk' });
  expect(await stack.call('bdev_lvol_get_lvstores')).toEqual([]);
  await stack.call('bdev_error_create', { base_name: 'disk' });
  await create();
  await stack.call('bdev_wait_for_examine');
  expect(await stack.call('bdev_lvol_get_lvstores')).toMatchObject([
    { name: 's', base_bdev: 'EE_disk' },
  ]);
  await stack.call('bdev_aio_delete', { name: 'disk' });
});
