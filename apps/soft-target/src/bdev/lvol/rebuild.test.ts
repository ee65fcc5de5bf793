import { MIB } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Bdev } from '../bdev.js';
import { MallocBdev } from '../malloc/malloc-bdev.js';
import {
  accountingErrors,
  makeTestFolder,
  startBdevStack,
  type BdevStack,
} from '../stack-fixture.js';

const SIZE_MIB = 16;
const SIZE = SIZE_MIB * MIB;

let folder: string;
let remove: () => Promise<void>;
let stack: BdevStack;

beforeEach(async () => {
  [folder, remove] = await makeTestFolder();
  stack = startBdevStack(folder);
  for (const [disk, lvs] of [
    ['disk0', 'src'],
    ['disk1', 'dst'],
  ]) {
    const malloc = new MallocBdev(disk ?? '', 4096, 128 * MIB);
    await malloc.write(0, Buffer.alloc(malloc.sizeBytes, 0xdb));
    stack.registry.register(malloc);
    await stack.call('bdev_lvol_create_lvstore', {
      bdev_name: disk,
      lvs_name: lvs,
      cluster_sz: MIB,
      lariat_overwrite: true,
    });
  }
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

const random = (limit: number): number => Math.floor(Math.random() * limit);

async function scribble(target: Bdev, writes: number): Promise<void> {
  for (let made = 0; made < writes; made += 1) {
    const length = 4096 * (1 + random(20));
    const offset = 4096 * random((SIZE - length) / 4096);
    if (made % 7 === 6) await target.unmap(random(SIZE_MIB) * MIB, MIB);
    else await target.write(offset, Buffer.alloc(length, 1 + random(255)));
  }
}

async function shallowCopy(source: string, destination: string): Promise<number> {
  const started = await stack.call('bdev_lvol_start_shallow_copy', {
    src_lvol_name: source,
    dst_bdev_name: destination,
  });
  const { operation_id: operationId } = started as { operation_id: number };
  for (;;) {
    const status = (await stack.call('bdev_lvol_check_shallow_copy', {
      operation_id: operationId,
    })) as { state: string; copied_clusters: number; total_clusters: number };
    if (status.state === 'complete') return status.copied_clusters;
    if (status.state !== 'in progress') throw new Error(`the copy is in state ${status.state}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('a replica rebuilt under a live mirror is the same to the byte, with all of its snapshots', async () => {
  await stack.call('bdev_lvol_create', {
    lvs_name: 'src',
    lvol_name: 'head',
    size_in_mib: SIZE_MIB,
    thin_provision: true,
  });
  await stack.call('bdev_raid_create', {
    name: 'vol',
    raid_level: 'raid1',
    base_bdevs: ['src/head'],
  });
  const volume = bdev('vol');
  const chain = ['s1', 's2', 's3'];
  for (const name of chain) {
    await scribble(volume, 12);
    await stack.call('bdev_lvol_snapshot', { lvol_name: 'src/head', snapshot_name: name });
  }
  await scribble(volume, 5);

  let running = true;
  const load = Promise.all(
    [0, 1, 2].map(async () => {
      while (running) await scribble(volume, 5);
    }),
  );
  await stack.call('lariat_bdev_quiesce', { name: 'vol', gate_id: 'g1', timeout_ms: 5000 });
  await stack.call('bdev_lvol_snapshot', { lvol_name: 'src/head', snapshot_name: 'sync' });
  await stack.call('bdev_lvol_clone_bdev', {
    bdev: 'src/sync',
    lvs_name: 'dst',
    clone_name: 'head',
  });
  await stack.call('bdev_raid_grow_base_bdev', {
    raid_name: 'vol',
    base_name: 'dst/head',
    gate_id: 'g1',
  });
  expect(await stack.call('lariat_bdev_unquiesce', { name: 'vol', gate_id: 'g1' })).toEqual({
    held: true,
  });

  await stack.call('bdev_lvol_create', {
    lvs_name: 'dst',
    lvol_name: 'scratch',
    size_in_mib: SIZE_MIB,
    thin_provision: true,
  });
  for (const name of [...chain, 'sync']) {
    const own = await shallowCopy(`src/${name}`, 'dst/scratch');
    expect(own).toBeGreaterThan(0);
    await stack.call('bdev_lvol_snapshot', { lvol_name: 'dst/scratch', snapshot_name: name });
  }
  await stack.call('bdev_lvol_set_parent', { lvol_name: 'dst/head', parent_name: 'dst/sync' });
  await stack.call('bdev_lvol_delete', { name: 'dst/scratch' });
  await scribble(volume, 10);
  running = false;
  await load;

  expect(await stack.call('bdev_raid_get_bdevs', { category: 'online' })).toMatchObject([
    { num_base_bdevs: 2, num_base_bdevs_discovered: 2, num_base_bdevs_operational: 2 },
  ]);
  const content = await volume.read(0, SIZE);
  for (const name of ['head', ...chain, 'sync']) {
    const source = await bdev(`src/${name}`).read(0, SIZE);
    const copy = await bdev(`dst/${name}`).read(0, SIZE);
    expect(source.equals(copy), `src/${name} and dst/${name}`).toBe(true);
  }
  expect((await bdev('src/head').read(0, SIZE)).equals(content)).toBe(true);
  for (const store of stack.stores.list()) expect(accountingErrors(store)).toEqual([]);
  expect(stack.registry.claimOf(bdev('src/sync'))).toBeUndefined();
});

test('a shallow copy needs a read-only source and a free destination of its size', async () => {
  await stack.call('bdev_lvol_create', {
    lvs_name: 'src',
    lvol_name: 'v',
    size_in_mib: 4,
    thin_provision: true,
  });
  await stack.call('bdev_lvol_create', {
    lvs_name: 'dst',
    lvol_name: 'small',
    size_in_mib: 2,
    thin_provision: true,
  });
  const start = (source: string, destination: string): Promise<unknown> =>
    stack.call('bdev_lvol_start_shallow_copy', {
      src_lvol_name: source,
      dst_bdev_name: destination,
    });
  const check = (operationId: number): Promise<unknown> =>
    expect
      .poll(() => stack.call('bdev_lvol_check_shallow_copy', { operation_id: operationId }))
      .toMatchObject({ state: 'error' });
  expect(await start('src/v', 'dst/small')).toEqual({ operation_id: 1 });
  await check(1);
  await stack.call('bdev_lvol_set_read_only', { name: 'src/v' });
  expect(await start('src/v', 'dst/small')).toEqual({ operation_id: 2 });
  await check(2);
  await expect(start('src/v', 'disk1')).rejects.toMatchObject({
    code: -32602,
    message: 'Operation not permitted',
  });
  await expect(start('src/v', 'none')).rejects.toMatchObject({
    code: -32602,
    message: 'No such device',
  });
});
