import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Bdev } from '../bdev.js';
import {
  accountingErrors,
  makeTestFolder,
  startBdevStack,
  type BdevStack,
} from '../stack-fixture.js';

/** The disk holds random bytes, never discarded: design invariant 10. */
const CLUSTER = 64 * 1024;
const BLOCK = 4096;
const DISK = 16 * MIB;
const LVOL = 2 * MIB;

let folder: string;
let remove: () => Promise<void>;
let stack: BdevStack;

beforeEach(async () => {
  [folder, remove] = await makeTestFolder();
  await writeFile(join(folder, 'disk.img'), randomBytes(DISK));
  await startTarget();
  await stack.call('bdev_lvol_create_lvstore', {
    bdev_name: 'disk',
    lvs_name: 'lvs',
    cluster_sz: CLUSTER,
    clear_method: 'none',
    lariat_overwrite: true,
  });
});

afterEach(async () => {
  const errors = stack.stores.list().flatMap((store) => accountingErrors(store));
  await stopTarget();
  await remove();
  if (errors.length > 0) throw new Error(errors.join('; '));
});

async function startTarget(): Promise<void> {
  stack = startBdevStack(join(folder, 'state'));
  await stack.call('bdev_aio_create', { name: 'disk', filename: join(folder, 'disk.img') });
}

async function stopTarget(): Promise<void> {
  await stack.call('bdev_aio_delete', { name: 'disk' });
  await stack.close();
}

async function create(name: string, thin = true): Promise<Bdev> {
  await stack.call('bdev_lvol_create', {
    lvs_name: 'lvs',
    lvol_name: name,
    size_in_mib: LVOL / MIB,
    thin_provision: thin,
    clear_method: 'none',
  });
  return lvol(name);
}

function lvol(name: string): Bdev {
  const bdev = stack.registry.find(`lvs/${name}`);
  if (bdev === undefined) throw new Error(`lvol ${name} is missing`);
  return bdev;
}

async function freeClusters(): Promise<number> {
  const [store] = (await stack.call('bdev_lvol_get_lvstores')) as readonly {
    readonly free_clusters: number;
  }[];
  return store?.free_clusters ?? -1;
}

/** Where the lvol differs from what it should read as; -1 when it does not. */
async function firstDifference(name: string, wanted: Buffer): Promise<number> {
  const content = await lvol(name).read(0, wanted.length);
  return content.equals(wanted) ? -1 : content.findIndex((byte, at) => byte !== wanted[at]);
}

/** Which lvols do not read as they should, before or after a restart. */
async function differences(contents: Readonly<Record<string, Buffer>>): Promise<readonly string[]> {
  const found: string[] = [];
  for (const when of ['before', 'after'] as const) {
    if (when === 'after') {
      await stopTarget();
      await startTarget();
    }
    for (const [name, wanted] of Object.entries(contents)) {
      const at = await firstDifference(name, wanted);
      if (at >= 0) found.push(`${name} differs at ${at} ${when} a restart`);
    }
  }
  return found;
}

test.each([true, false])(
  'around a write of any place and length there are zeros (thin: %s)',
  async (thin) => {
    const bdev = await create('v', thin);
    const wanted = Buffer.alloc(LVOL);
    const blocks = CLUSTER / BLOCK;
    // One write a cluster or two: first, last and middle blocks, and over the border to the next.
    const places = [
      [0, 1],
      [blocks - 1, 1],
      [blocks / 2, 1],
      [0, blocks - 1],
      [1, blocks - 1],
      [0, blocks],
      [blocks - 1, 2],
      [3, blocks],
    ] as const;
    for (const [index, [first, count]] of places.entries()) {
      const at = index * 2 * CLUSTER + first * BLOCK;
      const data = randomBytes(count * BLOCK);
      data.copy(wanted, at);
      await bdev.write(at, data);
    }
    expect(await differences({ v: wanted })).toEqual([]);
  },
);

test.each(['unmap', 'writeZeroes'] as const)(
  '%s gives whole clusters back, and zeros the parts at its ends in place',
  async (verb) => {
    const bdev = await create('v');
    const free = await freeClusters();
    const wanted = randomBytes(LVOL);
    await bdev.write(0, wanted);
    const clusters = LVOL / CLUSTER;
    expect(await freeClusters()).toBe(free - clusters);
    // From the last block of cluster 3 to the first of cluster 8: 4 to 7 whole.
    const [from, to] = [4 * CLUSTER - BLOCK, 8 * CLUSTER + BLOCK];
    await bdev[verb](from, to - from);
    wanted.fill(0, from, to);
    expect(await freeClusters()).toBe(free - clusters + 4);
    // Less than a cluster gives nothing back, even when it is the last that was left.
    await bdev[verb](10 * CLUSTER, CLUSTER - BLOCK);
    await bdev[verb](11 * CLUSTER - BLOCK, BLOCK);
    wanted.fill(0, 10 * CLUSTER, 11 * CLUSTER);
    expect(await freeClusters()).toBe(free - clusters + 4);
    await bdev[verb](12 * CLUSTER, CLUSTER);
    wanted.fill(0, 12 * CLUSTER, 13 * CLUSTER);
    expect(await freeClusters()).toBe(free - clusters + 5);
    expect(await differences({ v: wanted })).toEqual([]);
    expect(await freeClusters()).toBe(free - clusters + 5);
  },
);

test('what an unmap has freed is taken again, and shows nothing of its past', async () => {
  const first = await create('first');
  const past = randomBytes(LVOL);
  await first.write(0, past);
  const others = Array.from({ length: 6 }, (_, index) => `o${index}`);
  for (const name of others) await (await create(name)).write(0, randomBytes(LVOL));
  // So that there is no other cluster to be had.
  await (await create('rest')).write(0, randomBytes((await freeClusters()) * CLUSTER));
  expect(await freeClusters()).toBe(0);
  await first.unmap(0, LVOL);
  await first.flush();
  const free = await freeClusters();
  const second = await create('second');
  const wanted = Buffer.alloc(LVOL);
  for (let at = 0; at < LVOL; at += CLUSTER) {
    wanted.fill(0x5a, at + BLOCK, at + 2 * BLOCK);
    await second.write(at + BLOCK, Buffer.alloc(BLOCK, 0x5a));
  }
  expect(free - (await freeClusters())).toBe(LVOL / CLUSTER);
  expect(await differences({ first: Buffer.alloc(LVOL), second: wanted })).toEqual([]);
});

test('an unmap over a snapshot hides it, takes no space, and leaves the snapshot as it is', async () => {
  const bdev = await create('v');
  const old = randomBytes(LVOL);
  await bdev.write(0, old);
  await stack.call('bdev_lvol_snapshot', { lvol_name: 'lvs/v', snapshot_name: 's' });
  const free = await freeClusters();
  await bdev.unmap(2 * CLUSTER, 3 * CLUSTER);
  expect(await freeClusters()).toBe(free);
  const wanted = Buffer.from(old).fill(0, 2 * CLUSTER, 5 * CLUSTER);
  // A part of one takes a cluster, with the rest of it from the snapshot.
  await bdev.unmap(8 * CLUSTER + BLOCK, BLOCK);
  wanted.fill(0, 8 * CLUSTER + BLOCK, 8 * CLUSTER + 2 * BLOCK);
  expect(await freeClusters()).toBe(free - 1);
  // A write into a hidden cluster has zeros around it, not the snapshot's bytes.
  await bdev.write(3 * CLUSTER, Buffer.alloc(BLOCK, 1));
  wanted.fill(1, 3 * CLUSTER, 3 * CLUSTER + BLOCK);
  expect(await freeClusters()).toBe(free - 2);
  expect(await differences({ v: wanted, s: old })).toEqual([]);
});

test('a thick lvol reads zeros, keeps its space over an unmap, and shows no old bytes after it', async () => {
  const bdev = await create('v', false);
  const free = await freeClusters();
  const wanted = Buffer.alloc(LVOL);
  expect(await firstDifference('v', wanted)).toBe(-1);
  await bdev.write(0, randomBytes(LVOL));
  await bdev.unmap(0, LVOL);
  expect(await freeClusters()).toBe(free);
  await bdev.write(5 * BLOCK, Buffer.alloc(BLOCK, 9));
  wanted.fill(9, 5 * BLOCK, 6 * BLOCK);
  expect(await differences({ v: wanted })).toEqual([]);
});

test('an lvol that is shrunk and grown reads zeros where it was cut off', async () => {
  const bdev = await create('v');
  const data = randomBytes(LVOL);
  await bdev.write(0, data);
  await stack.call('bdev_lvol_resize', { name: 'lvs/v', size_in_mib: 1 });
  await stack.call('bdev_lvol_resize', { name: 'lvs/v', size_in_mib: 3 });
  const wanted = Buffer.concat([data.subarray(0, MIB)], 3 * MIB);
  await lvol('v').write(2 * MIB + BLOCK, Buffer.alloc(BLOCK, 3));
  wanted.fill(3, 2 * MIB + BLOCK, 2 * MIB + 2 * BLOCK);
  expect(await differences({ v: wanted })).toEqual([]);
});

test('a thin lvol that is inflated has zeros for what it never had', async () => {
  const bdev = await create('v');
  await bdev.write(BLOCK, Buffer.alloc(BLOCK, 7));
  await stack.call('bdev_lvol_inflate', { name: 'lvs/v' });
  const wanted = Buffer.alloc(LVOL).fill(7, BLOCK, 2 * BLOCK);
  await lvol('v').write(9 * CLUSTER + BLOCK, Buffer.alloc(BLOCK, 8));
  wanted.fill(8, 9 * CLUSTER + BLOCK, 9 * CLUSTER + 2 * BLOCK);
  expect(await differences({ v: wanted })).toEqual([]);
});
