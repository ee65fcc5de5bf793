import { randomBytes } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB } from '@lariat/kernel';
import { allocateAligned } from '@lariat/nvme-tcp';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type BdevStack, makeTestFolder, startBdevStack } from '../stack-fixture.js';
import { requireBdev } from '../registry.js';
import { DirectFile } from './direct-file.js';

const BLOCK_BYTES = 4096;

let disk: string;
let stack: BdevStack;
let removeFolder: () => Promise<void>;

beforeEach(async () => {
  const [folder, remove] = await makeTestFolder();
  removeFolder = remove;
  disk = join(folder, 'disk.img');
  await writeFile(disk, Buffer.alloc(8 * MIB));
  stack = startBdevStack(join(folder, 'state'));
  await stack.call('bdev_aio_create', { name: 'disk', filename: disk });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await stack.call('bdev_aio_delete', { name: 'disk' });
  await stack.close();
  await removeFolder();
});

function alignedRandom(lengthBytes: number): Buffer {
  const bytes = allocateAligned(lengthBytes);
  randomBytes(lengthBytes).copy(bytes);
  return bytes;
}

test('writes past the page cache and through it show each other, whichever comes last', async () => {
  const write = vi.spyOn(DirectFile.prototype, 'write');
  const bdev = requireBdev(stack.registry, 'disk');
  const model = Buffer.alloc(8 * MIB);
  const put = async (offsetBytes: number, data: Buffer): Promise<void> => {
    await bdev.write(offsetBytes, data);
    data.copy(model, offsetBytes);
  };
  await put(MIB, randomBytes(2 * MIB));
  await put(MIB + BLOCK_BYTES, alignedRandom(MIB));
  await put(2 * MIB - BLOCK_BYTES, randomBytes(2 * BLOCK_BYTES));
  expect((await bdev.read(0, 8 * MIB)).equals(model)).toBe(true);
  await put(0, alignedRandom(3 * MIB));
  expect((await bdev.read(0, 8 * MIB)).equals(model)).toBe(true);
  await bdev.flush();
  expect((await readFile(disk)).equals(model)).toBe(true);
  // Where the folder's file system has no O_DIRECT all of it went through the cache.
  const file = await open(disk, 'r+');
  const direct = await DirectFile.open(file, false);
  expect(write).toHaveBeenCalledTimes(direct === undefined ? 0 : 2);
  await direct?.close();
  await file.close();
});

test('what the kernel does not take past the page cache goes through it, from then on', async () => {
  const file = await open(disk, 'r+');
  const direct = await DirectFile.open(file, false);
  if (direct === undefined) return file.close();
  const data = alignedRandom(MIB);
  expect(direct.takes(data)).toBe(true);
  expect(direct.takes(data.subarray(0, MIB - BLOCK_BYTES))).toBe(false);
  expect(direct.takes(randomBytes(MIB))).toBe(false);
  expect(await direct.write(data, BLOCK_BYTES)).toBe(MIB);
  expect(await direct.write(data, 1)).toBeUndefined();
  expect(direct.takes(data)).toBe(false);
  await direct.close();
  await file.close();

  vi.spyOn(DirectFile.prototype, 'write').mockResolvedValue(undefined);
  const bdev = requireBdev(stack.registry, 'disk');
  await bdev.write(4 * MIB, data);
  expect((await bdev.read(4 * MIB, MIB)).equals(data)).toBe(true);
});
