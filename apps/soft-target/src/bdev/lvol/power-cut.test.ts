import { randomBytes } from 'node:crypto';
import { copyFile, cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
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
import { rebooted } from './rebooted.js';

/**
 * The worst power cut: of the disk's data nothing is kept but what a sync has put there, and of the metadata all, since
 * lmdb syncs that by itself soon after each commit.
 */
const CLUSTER = 64 * 1024;
const LVOL = MIB;

let folder: string;
let remove: () => Promise<void>;
let stack: BdevStack;
let before: Buffer;

beforeEach(async () => {
  [folder, remove] = await makeTestFolder();
  await writeFile(join(folder, 'disk.img'), randomBytes(8 * MIB));
  await startTarget();
  await stack.call('bdev_lvol_create_lvstore', {
    bdev_name: 'disk',
    lvs_name: 'lvs',
    cluster_sz: CLUSTER,
    lariat_overwrite: true,
  });
  await stack.call('bdev_lvol_create', {
    lvs_name: 'lvs',
    lvol_name: 'v',
    size_in_mib: LVOL / MIB,
    thin_provision: true,
  });
  before = Buffer.concat([randomBytes(4 * CLUSTER)], LVOL);
  await lvol('v').write(0, before.subarray(0, 4 * CLUSTER));
  await stack.call('bdev_lvol_snapshot', { lvol_name: 'lvs/v', snapshot_name: 's' });
  await lvol('v').flush();
});

afterEach(async () => {
  await stopTarget();
  await remove();
});

async function startTarget(): Promise<void> {
  stack = startBdevStack(join(folder, 'state'));
  await stack.call('bdev_aio_create', { name: 'disk', filename: join(folder, 'disk.img') });
  const disk = stack.registry.find('disk');
  if (disk === undefined) throw new Error('the disk is missing');
  const sync = disk.flush.bind(disk);
  // All writes that have ended when a sync begins are on disk when it ends.
  disk.flush = async () => {
    await copyFile(join(folder, 'disk.img'), join(folder, 'synced.img'));
    await sync();
  };
}

async function stopTarget(): Promise<void> {
  await stack.call('bdev_aio_delete', { name: 'disk' });
  await stack.close();
}

function lvol(name: string): Bdev {
  const bdev = stack.registry.find(`lvs/${name}`);
  if (bdev === undefined) throw new Error(`lvol ${name} is missing`);
  return bdev;
}

async function cutPower(reboot = true): Promise<void> {
  for (const store of stack.stores.list()) await store.metadata.flushed();
  await copyFile(join(folder, reboot ? 'synced.img' : 'disk.img'), join(folder, 'left.img'));
  await cp(join(folder, 'state'), join(folder, 'left'), { recursive: true });
  // In order, so that nothing of the old one is under way; what it does now is thrown away.
  await stopTarget();
  await copyFile(join(folder, 'left.img'), join(folder, 'disk.img'));
  await rm(join(folder, 'state'), { recursive: true });
  await cp(join(folder, 'left'), join(folder, 'state'), { recursive: true });
  await rm(join(folder, 'left'), { recursive: true });
  const [name = ''] = await readdir(join(folder, 'state'));
  const data = join(folder, 'state', name, 'data.mdb');
  await rm(join(folder, 'state', name, 'lock.mdb'));
  if (reboot) await writeFile(data, rebooted(await readFile(data)));
  await startTarget();
}

async function firstDifference(name: string, wanted: Buffer): Promise<number> {
  expect(stack.stores.list().flatMap((store) => accountingErrors(store))).toEqual([]);
  const content = await lvol(name).read(0, wanted.length);
  return content.equals(wanted) ? -1 : content.findIndex((byte, at) => byte !== wanted[at]);
}

/** Into a cluster that the snapshot has, and into two that no one has. */
async function writeSome(): Promise<Buffer> {
  const after = Buffer.from(before);
  for (const at of [CLUSTER + 4096, 10 * CLUSTER, 12 * CLUSTER + 8192]) {
    after.fill(at / 4096, at, at + 4096);
    await lvol('v').write(at, Buffer.alloc(4096, at / 4096));
  }
  return after;
}

test('what was not flushed is undone by a power cut, and what had been flushed is there', async () => {
  await writeSome();
  await cutPower();
  expect(await firstDifference('v', before)).toBe(-1);
  expect(await firstDifference('s', before)).toBe(-1);
  // What was undone can be done again, and is kept then.
  const after = await writeSome();
  await lvol('v').flush();
  await cutPower();
  expect(await firstDifference('v', after)).toBe(-1);
});

test('what was flushed is there after a power cut, with what was not flushed after it undone', async () => {
  const after = await writeSome();
  await lvol('v').flush();
  await lvol('v').write(14 * CLUSTER, Buffer.alloc(4096, 1));
  await cutPower();
  expect(await firstDifference('v', after)).toBe(-1);
  await cutPower();
  expect(await firstDifference('v', after)).toBe(-1);
});

test('all that was written is there after kill -9, and can be flushed by the next target', async () => {
  const after = await writeSome();
  await cutPower(false);
  expect(await firstDifference('v', after)).toBe(-1);
  await lvol('v').flush();
  await cutPower();
  expect(await firstDifference('v', after)).toBe(-1);
});

test('a cluster that was unmapped and written again, unflushed, shows zeros and no old bytes', async () => {
  await lvol('v').unmap(0, 4 * CLUSTER);
  await lvol('v').write(2 * CLUSTER, Buffer.alloc(4096, 1));
  await lvol('v').unmap(2 * CLUSTER, CLUSTER);
  await lvol('v').write(2 * CLUSTER, Buffer.alloc(4096, 2));
  await cutPower();
  expect(await firstDifference('v', Buffer.alloc(LVOL))).toBe(-1);
});

test('a snapshot that is taken of unflushed writes is undone with them', async () => {
  await writeSome();
  await stack.call('bdev_lvol_snapshot', { lvol_name: 'lvs/v', snapshot_name: 't' });
  await cutPower();
  for (const name of ['v', 's', 't']) expect(await firstDifference(name, before)).toBe(-1);
});

const REBASES: readonly (readonly [what: string, act: () => Promise<unknown>])[] = [
  ['the deletion of the snapshot', () => stack.call('bdev_lvol_delete', { name: 'lvs/s' })],
  ['decoupling', () => stack.call('bdev_lvol_decouple_parent', { name: 'lvs/v' })],
  ['inflating', () => stack.call('bdev_lvol_inflate', { name: 'lvs/v' })],
];

test.each(REBASES)('%s leaves nothing that could be undone to other bytes', async (_what, act) => {
  const after = await writeSome();
  await act();
  await cutPower();
  expect(await firstDifference('v', after)).toBe(-1);
});

test('a target that stops in order leaves nothing to undo', async () => {
  const after = await writeSome();
  await stopTarget();
  await startTarget();
  await cutPower();
  expect(await firstDifference('v', after)).toBe(-1);
});
