import { setImmediate as turn } from 'node:timers/promises';
import { BlockIoError } from '@lariat/nvme-tcp';
import { MIB } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Bdev } from '../bdev.js';
import { MallocBdev } from '../malloc/malloc-bdev.js';
import { makeTestFolder, startBdevStack, type BdevStack } from '../stack-fixture.js';

/** A disk whose I/O can be made to fail or to hang. */
class FaultyBdev extends MallocBdev {
  failWrites = false;
  failReads = false;
  hang: Promise<void> | undefined;

  protected override async readBlocks(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    if (this.failReads) throw new BlockIoError('media', 'read error');
    return super.readBlocks(offsetBytes, lengthBytes);
  }

  protected override async writeBlocks(offsetBytes: number, data: Buffer): Promise<void> {
    await this.hang;
    if (this.failWrites) throw new BlockIoError('media', 'write error');
    return super.writeBlocks(offsetBytes, data);
  }
}

let stack: BdevStack;
let remove: () => Promise<void>;
let legs: readonly [FaultyBdev, FaultyBdev, FaultyBdev];

beforeEach(async () => {
  const [folder, removeFolder] = await makeTestFolder();
  remove = removeFolder;
  stack = startBdevStack(folder);
  const leg = (name: string): FaultyBdev => {
    const bdev = new FaultyBdev(name, 512, 8 * MIB);
    stack.registry.register(bdev);
    return bdev;
  };
  legs = [leg('a'), leg('b'), leg('c')];
});

afterEach(async () => {
  await stack.close();
  await remove();
});

const mirror = (...bases: string[]): Promise<unknown> =>
  stack.call('bdev_raid_create', { name: 'r', raid_level: 'raid1', base_bdevs: bases });

function raid(): Bdev {
  const bdev = stack.registry.find('r');
  if (bdev === undefined) throw new Error('the raid is missing');
  return bdev;
}

async function shown(): Promise<Record<string, unknown>> {
  const [json] = (await stack.call('bdev_raid_get_bdevs', { category: 'all' })) as Record<
    string,
    unknown
  >[];
  if (json === undefined) throw new Error('the raid is missing');
  return json;
}

const block = (n: number): Buffer => Buffer.alloc(512, n);

test('a mirror looks like one of SPDK', async () => {
  await stack.call('bdev_raid_create', {
    name: 'r',
    raid_level: 'raid1',
    base_bdevs: ['a', 'b'],
    uuid: '0d8d6f6c-6a2e-4c52-8ad4-6e0f6d9e3c11',
    superblock: false,
  });
  const [a, b] = legs;
  const base = (leg: FaultyBdev): object => ({
    name: leg.name,
    uuid: leg.uuid,
    is_configured: true,
    data_offset: 0,
    data_size: 16_384,
  });
  expect(await shown()).toEqual({
    name: 'r',
    uuid: '0d8d6f6c-6a2e-4c52-8ad4-6e0f6d9e3c11',
    strip_size_kb: 0,
    state: 'online',
    raid_level: 'raid1',
    superblock: false,
    num_base_bdevs: 2,
    num_base_bdevs_discovered: 2,
    num_base_bdevs_operational: 2,
    base_bdevs_list: [base(a), base(b)],
  });
  expect(await stack.call('bdev_get_bdevs', { name: 'a' })).toMatchObject([
    { claimed: true, claim_type: 'exclusive_write' },
  ]);
  await expect(
    stack.call('bdev_raid_create', { name: 'q', raid_level: 'raid1', base_bdevs: ['a'] }),
  ).rejects.toMatchObject({
    code: -1,
    message: 'Failed to create RAID bdev q: Operation not permitted',
  });
  await expect(mirror('c')).rejects.toMatchObject({ code: -17 });
  await stack.call('bdev_raid_delete', { name: 'r' });
  expect(await stack.call('bdev_get_bdevs', { name: 'a' })).toMatchObject([{ claimed: false }]);
  await expect(stack.call('bdev_raid_delete', { name: 'r' })).rejects.toMatchObject({
    code: -19,
    message: 'raid bdev r not found',
  });
});

test('a leg that fails a write has left the raid before the write is acknowledged', async () => {
  await mirror('a', 'b');
  const [a, b] = legs;
  b.failWrites = true;
  await raid().write(0, block(1));
  expect(await shown()).toMatchObject({
    num_base_bdevs: 2,
    num_base_bdevs_discovered: 1,
    num_base_bdevs_operational: 1,
    base_bdevs_list: [
      { name: 'a', is_configured: true },
      { name: null, is_configured: false },
    ],
  });
  expect(stack.registry.claimOf(b)).toBeUndefined();
  a.failWrites = true;
  await expect(raid().write(0, block(2))).rejects.toMatchObject({ failure: 'media' });
  expect(await shown()).toMatchObject({ state: 'online', num_base_bdevs_operational: 1 });
  a.failWrites = false;
  await raid().write(0, block(3));
  expect(await raid().read(0, 512)).toEqual(block(3));
});

test('told to hold, acknowledges no write that missed a leg before that loss is confirmed', async () => {
  await mirror('a', 'b', 'c');
  await stack.call('lariat_raid_hold_losses', { name: 'r', timeout_ms: 10_000 });
  legs[1].failWrites = true;
  const acknowledged: string[] = [];
  const first = raid()
    .write(0, block(1))
    .then(() => acknowledged.push('first'));
  const confirm = (...names: string[]): Promise<unknown> =>
    stack.call('lariat_raid_confirm_losses', { name: 'r', base_bdevs: names });
  while ((await shown()).num_base_bdevs_discovered === 3) await turn();
  // Neither a later write, which meets two sound legs, nor a flush may be answered; reads go on.
  const second = raid()
    .write(512, block(2))
    .then(() => acknowledged.push('second'));
  const flush = raid()
    .flush()
    .then(() => acknowledged.push('flush'));
  // A read of what is held waits with it: seen, it could not be lost any more.
  const reads = [0, 512].map((offset) =>
    raid()
      .read(offset, 512)
      .then((data) => acknowledged.push(`read ${data[0]}`)),
  );
  while (!(await legs[0].read(512, 512)).equals(block(2))) await turn();
  expect(await raid().read(1024, 512)).toEqual(block(0));
  expect(await confirm('a')).toEqual({ unconfirmed: ['b'] });
  expect(acknowledged).toEqual([]);
  expect(await confirm('b')).toEqual({ unconfirmed: [] });
  await Promise.all([first, second, flush, ...reads]);
  expect(acknowledged).toEqual(expect.arrayContaining(['read 1', 'read 2']));
  await raid().write(0, block(3));
});

test('fails a held write after its bound, and goes on once the loss is confirmed', async () => {
  await mirror('a', 'b');
  await stack.call('lariat_raid_hold_losses', { name: 'r', timeout_ms: 20 });
  legs[0].failWrites = true;
  await expect(raid().write(0, block(1))).rejects.toMatchObject({ failure: 'aborted' });
  await expect(raid().write(0, block(1))).rejects.toMatchObject({ failure: 'aborted' });
  await stack.call('lariat_raid_confirm_losses', { name: 'r', base_bdevs: ['a'] });
  await raid().write(0, block(2));
  expect(await raid().read(0, 512)).toEqual(block(2));
});

test('holds nothing for a leg that was taken out on purpose, nor for a raid that is deleted', async () => {
  await mirror('a', 'b', 'c');
  await stack.call('lariat_raid_hold_losses', { name: 'r', timeout_ms: 60_000 });
  await stack.call('bdev_raid_remove_base_bdev', { name: 'a' });
  await raid().write(0, block(1));
  legs[1].failWrites = true;
  const held = raid().write(0, block(2));
  held.catch(() => undefined);
  while ((await shown()).num_base_bdevs_discovered === 2) await turn();
  await stack.call('bdev_raid_delete', { name: 'r' });
  await expect(held).rejects.toMatchObject({ failure: 'gone' });
});

test('a raid of another level loses nothing that it could hold', async () => {
  await stack.call('bdev_raid_create', {
    name: 'r',
    raid_level: 'raid0',
    strip_size_kb: 64,
    base_bdevs: ['a'],
  });
  await expect(
    stack.call('lariat_raid_hold_losses', { name: 'r', timeout_ms: 1 }),
  ).rejects.toMatchObject({ code: -95 });
});

test('writes that fail on different legs at once never count on a leg that has left', async () => {
  await mirror('a', 'b');
  const [a, b] = legs;
  let release = (): void => undefined;
  a.hang = new Promise((resolve) => (release = resolve));
  b.failWrites = true;
  const first = raid().write(0, block(1));
  const second = raid().write(512, block(2));
  release();
  await Promise.all([first, second]);
  expect(await shown()).toMatchObject({ base_bdevs_list: [{ name: 'a' }, { name: null }] });
  expect(await raid().read(0, 1024)).toEqual(Buffer.concat([block(1), block(2)]));
});

test('a hanging leg that is taken out lets its writes go on', async () => {
  await mirror('a', 'b');
  const [, b] = legs;
  b.hang = new Promise(() => undefined);
  const write = raid().write(0, block(1));
  await stack.call('bdev_raid_remove_base_bdev', { name: 'b' });
  await write;
  expect(await raid().read(0, 512)).toEqual(block(1));
  await expect(stack.call('bdev_raid_remove_base_bdev', { name: 'b' })).rejects.toMatchObject({
    code: -19,
    message: 'Failed to remove base bdev from raid bdev',
  });
});

test('reads that fail are taken from another leg', async () => {
  await mirror('a', 'b');
  await raid().write(0, block(5));
  legs[0].failReads = true;
  for (let n = 0; n < 4; n += 1) expect(await raid().read(0, 512)).toEqual(block(5));
  legs[1].failReads = true;
  await expect(raid().read(0, 512)).rejects.toMatchObject({ failure: 'media' });
});

test('a leg that disappears is dropped, and with the last one the raid is gone', async () => {
  await mirror('a', 'b');
  await stack.registry.remove(legs[0]);
  expect(await shown()).toMatchObject({ base_bdevs_list: [{ name: null }, { name: 'b' }] });
  await raid().write(0, block(6));
  await stack.registry.remove(legs[1]);
  expect(stack.registry.find('r')).toBeUndefined();
  expect(await stack.call('bdev_raid_get_bdevs', { category: 'all' })).toEqual([]);
});

test('a raid waits for base bdevs that are not there yet', async () => {
  await mirror('a', 'late');
  expect(await shown()).toMatchObject({ state: 'configuring', num_base_bdevs_discovered: 1 });
  expect(stack.registry.find('r')).toBeUndefined();
  stack.registry.register(new MallocBdev('late', 512, 4 * MIB));
  expect(await shown()).toMatchObject({ state: 'online', num_base_bdevs_discovered: 2 });
  expect(raid().sizeBytes).toBe(4 * MIB);
});

test('an added leg is filled under load and is the same in the end', async () => {
  await mirror('a', 'b');
  for (let mib = 0; mib < 8; mib += 1) await raid().write(mib * MIB, Buffer.alloc(MIB, mib + 1));
  await expect(
    stack.call('bdev_raid_add_base_bdev', { raid_bdev: 'r', base_bdev: 'c' }),
  ).rejects.toMatchObject({ code: -22 });
  await stack.call('bdev_raid_remove_base_bdev', { name: 'b' });
  await stack.call('bdev_raid_add_base_bdev', { raid_bdev: 'r', base_bdev: 'c' });
  expect(await shown()).toMatchObject({ process: { type: 'rebuild', target: 'c' } });
  for (let n = 0; n < 300; n += 1) {
    await raid().write(512 * Math.floor(Math.random() * 16_384), block(n % 251));
  }
  await expect.poll(async () => (await shown())['process']).toBeUndefined();
  const [a, , c] = legs;
  expect((await a.read(0, 8 * MIB)).equals(await c.read(0, 8 * MIB))).toBe(true);
  expect(await shown()).toMatchObject({ num_base_bdevs_operational: 2 });
});

test.each([
  ['raid9', -32602, 'Invalid parameters'],
  ['RAID1', -32602, 'Invalid parameters'],
  ['raid5f', -22, 'Failed to create RAID bdev r: Invalid argument'],
])('there is no level %s', async (level, code, message) => {
  await expect(
    stack.call('bdev_raid_create', {
      name: 'r',
      raid_level: level,
      strip_size_kb: 64,
      base_bdevs: ['a', 'b', 'c'],
    }),
  ).rejects.toMatchObject({ code, message });
  expect(await stack.call('bdev_raid_get_bdevs', { category: 'all' })).toEqual([]);
});

test('a rebuild keeps to its bandwidth and its window', async () => {
  await expect(
    stack.call('bdev_raid_set_options', { process_window_size_kb: 0 }),
  ).rejects.toMatchObject({ code: -22, message: 'Invalid argument' });
  await stack.call('bdev_raid_set_options', {
    process_window_size_kb: 512,
    process_max_bandwidth_mb_sec: 10,
  });
  await mirror('a', 'b');
  await stack.call('bdev_raid_remove_base_bdev', { name: 'b' });
  const startedMs = performance.now();
  await stack.call('bdev_raid_add_base_bdev', { raid_bdev: 'r', base_bdev: 'c' });
  const seen = new Set<number>();
  await expect
    .poll(
      async () => {
        const process = (await shown())['process'] as { progress: { blocks: number } } | undefined;
        if (process !== undefined) seen.add(process.progress.blocks);
        return process;
      },
      { interval: 5, timeout: 10_000 },
    )
    .toBeUndefined();
  // 8 MiB at 10 MiB a second, less the last window.
  expect(performance.now() - startedMs).toBeGreaterThan(700);
  expect(seen.size).toBeGreaterThan(4);
  expect([...seen].every((blocks) => (blocks * 512) % (512 * 1024) === 0)).toBe(true);
});

test.each([
  ['raid0', 24],
  ['concat', 24],
])('%s spreads over its base bdevs', async (level, mib) => {
  await stack.call('bdev_raid_create', {
    name: 'r',
    raid_level: level,
    strip_size_kb: 64,
    base_bdevs: ['a', 'b', 'c'],
  });
  expect(raid().sizeBytes).toBe(mib * MIB);
  const content = Buffer.alloc(mib * MIB);
  for (let at = 0; at < content.length; at += 512) content.writeUInt32LE(at, at);
  await raid().write(0, content);
  expect((await raid().read(0, content.length)).equals(content)).toBe(true);
  expect((await raid().read(7 * MIB, 2 * MIB)).equals(content.subarray(7 * MIB, 9 * MIB))).toBe(
    true,
  );
  await stack.registry.remove(legs[1]);
  expect(stack.registry.find('r')).toBeUndefined();
  expect(await shown()).toMatchObject({ state: 'offline' });
});

test('a gate holds I/O, is told from others, and lets a leg in only while it is closed', async () => {
  await mirror('a');
  const quiesce = (id: string, ms: number): Promise<unknown> =>
    stack.call('lariat_bdev_quiesce', { name: 'r', gate_id: id, timeout_ms: ms });
  const unquiesce = (id: string): Promise<unknown> =>
    stack.call('lariat_bdev_unquiesce', { name: 'r', gate_id: id });
  const grow = (id?: string): Promise<unknown> =>
    stack.call('bdev_raid_grow_base_bdev', {
      raid_name: 'r',
      base_name: 'b',
      ...(id === undefined ? {} : { gate_id: id }),
    });
  let release = (): void => undefined;
  legs[0].hang = new Promise((resolve) => (release = resolve));
  const inFlight = raid().write(0, block(1));
  let closed = false;
  const gate = quiesce('g1', 60_000).then(() => (closed = true));
  let held = true;
  const later = raid()
    .write(0, block(2))
    .then(() => (held = false));
  await new Promise((resolve) => setImmediate(resolve));
  expect(closed).toBe(false);
  release();
  await inFlight;
  await gate;
  expect(held).toBe(true);
  expect(await quiesce('g1', 10)).toBe(true);
  await expect(quiesce('g2', 10)).rejects.toMatchObject({ code: -16 });
  expect(await unquiesce('g2')).toEqual({ held: false });
  await expect(grow('g2')).rejects.toMatchObject({ code: -116 });
  await grow('g1');
  expect(await unquiesce('g1')).toEqual({ held: true });
  expect(await unquiesce('g1')).toEqual({ held: false });
  await later;
  expect(await legs[1].read(0, 512)).toEqual(block(2));
  await expect(quiesce('g1', 10)).rejects.toMatchObject({ code: -116, message: 'Gate expired' });
});

test('a gate opens by itself, and what was built on it is refused', async () => {
  await mirror('a');
  await stack.call('lariat_bdev_quiesce', { name: 'r', gate_id: 'g', timeout_ms: 20 });
  await raid().write(0, block(1));
  await expect(
    stack.call('bdev_raid_grow_base_bdev', { raid_name: 'r', base_name: 'b', gate_id: 'g' }),
  ).rejects.toMatchObject({ code: -116 });
  expect(await stack.call('lariat_bdev_unquiesce', { name: 'r', gate_id: 'g' })).toEqual({
    held: false,
  });
  expect(await shown()).toMatchObject({ num_base_bdevs: 1 });
  legs[0].hang = new Promise(() => undefined);
  void raid()
    .write(0, block(2))
    .catch(() => undefined);
  await expect(
    stack.call('lariat_bdev_quiesce', { name: 'r', gate_id: 'h', timeout_ms: 20 }),
  ).rejects.toMatchObject({ code: -110 });
});

test('a mirror is as large as its smallest leg, and larger once that has left', async () => {
  const small = new MallocBdev('small', 512, 4 * MIB);
  stack.registry.register(small);
  await mirror('a', 'small');
  const resized: string[] = [];
  stack.registry.listen((event, bdev) => {
    if (event === 'bdev_resize') resized.push(bdev.name);
  });
  expect(raid().sizeBytes).toBe(4 * MIB);
  await stack.call('bdev_raid_remove_base_bdev', { name: 'small' });
  expect(raid().sizeBytes).toBe(8 * MIB);
  expect(resized).toEqual(['r']);
  await raid().write(6 * MIB, block(3));
  expect(await legs[0].read(6 * MIB, 512)).toEqual(block(3));
});
