import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Bdev } from '../bdev.js';
import { makeTestFolder, startBdevStack, type BdevStack } from '../stack-fixture.js';
import { encodeSuperblock } from './superblock.js';

const SIZE = 32 * MIB;

let folder: string;
let remove: () => Promise<void>;
let stack: BdevStack;
let disk: string;

beforeEach(async () => {
  [folder, remove] = await makeTestFolder();
  disk = join(folder, 'disk.img');
  await writeFile(disk, '');
  await truncate(disk, SIZE);
  stack = startBdevStack(join(folder, 'state'));
});

afterEach(async () => {
  await stack.call('bdev_aio_delete', { name: 'disk' }).catch(() => undefined);
  await stack.close();
  await remove();
});

async function put(atBytes: number, data: Buffer): Promise<void> {
  const file = await open(disk, 'r+');
  await file.write(data, 0, data.length, atBytes);
  await file.close();
}

const openDisk = (): Promise<unknown> =>
  stack.call('bdev_aio_create', { name: 'disk', filename: disk, block_size: 512 });
const createStore = (more: Record<string, unknown> = {}): Promise<unknown> =>
  stack.call('bdev_lvol_create_lvstore', {
    bdev_name: 'disk',
    lvs_name: 'lvs',
    cluster_sz: MIB,
    ...more,
  });

const CONTENT: readonly (readonly [what: string, atBytes: number, data: Buffer])[] = [
  ['an LVM physical volume', 512, Buffer.from('LABELONE')],
  ['the backup of a GPT partition table', SIZE - 512, Buffer.from('EFI PART')],
  ['data of no known kind', MIB - 1, Buffer.from([1])],
  ['data of no known kind', SIZE - MIB, Buffer.from([1])],
  // Its digest is wrong, so that it is no store that could be opened; but it may be one that is damaged.
  [
    'a Lariat lvol store',
    0,
    encodeSuperblock({ uuid: crypto.randomUUID(), clusterSizeBytes: MIB }).fill(1, 50, 51),
  ],
];

test.each(CONTENT)('a disk with %s at %i is refused and left as it is', async (what, at, data) => {
  await put(at, data);
  const before = await readFile(disk);
  await openDisk();
  await expect(createStore()).rejects.toMatchObject({
    code: -17,
    message: `bdev disk is not empty: it holds ${what}; give lariat_overwrite true to lose that`,
  });
  expect((await readFile(disk)).equals(before)).toBe(true);
  expect(await stack.call('bdev_get_bdevs', { name: 'disk' })).toMatchObject([{ claimed: false }]);
  await createStore({ lariat_overwrite: true });
  const after = await readFile(disk);
  expect(after.toString('latin1', 0, 13)).toBe('LARIATLVSTORE');
  expect(after.subarray(4096, MIB).equals(Buffer.alloc(MIB - 4096))).toBe(true);
  expect(after.subarray(SIZE - MIB).equals(Buffer.alloc(MIB))).toBe(true);
});

test.for([
  ['mkfs.ext4', ['-q', '-F'], 'an ext2, ext3 or ext4 file system'],
  ['mkswap', ['-q'], 'a swap area'],
  ['qemu-img', ['create', '-q', '-f', 'qcow2'], 'a qcow2 image'],
] as const)('what %s has made is refused by its name', async ([program, args, what], context) => {
  try {
    const size = program === 'qemu-img' ? ['1G'] : [];
    execFileSync(program, [...args, disk, ...size], { stdio: 'pipe' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return context.skip(`needs ${program}`);
  }
  await truncate(disk, SIZE);
  await openDisk();
  await expect(createStore()).rejects.toMatchObject({ code: -17 });
  await expect(createStore()).rejects.toThrow(what);
});

test('an lvol store is never overwritten, whatever is asked for', async () => {
  await put(0, encodeSuperblock({ uuid: crypto.randomUUID(), clusterSizeBytes: MIB }));
  await openDisk();
  await expect(createStore({ lariat_overwrite: true })).rejects.toMatchObject({
    code: -17,
    message: 'File exists',
  });
});

test('a disk whose store was deleted, full as it was, is blank', async () => {
  await openDisk();
  await createStore();
  await stack.call('bdev_lvol_create', { lvs_name: 'lvs', lvol_name: 'v', size_in_mib: 31 });
  const lvol = stack.registry.find('lvs/v') as Bdev;
  await lvol.write(0, randomBytes(31 * MIB));
  await stack.call('bdev_lvol_delete_lvstore', { lvs_name: 'lvs' });
  expect(await createStore()).toEqual(expect.any(String));
});

test('zeros in the middle of a disk are not asked for', async () => {
  await put(MIB, randomBytes(SIZE - 2 * MIB));
  await openDisk();
  expect(await createStore()).toEqual(expect.any(String));
});
