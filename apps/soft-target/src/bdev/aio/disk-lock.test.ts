import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { link, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MIB } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeTestFolder, startBdevStack, type BdevStack } from '../stack-fixture.js';

const BUSY = { code: -16, message: 'Device or resource busy' };
const FIXTURE = fileURLToPath(new URL('../../../dist/bdev/stack-fixture.js', import.meta.url));
/** A target that holds a disk with a store until it is killed. */
const HOLDER = `
  const { startBdevStack } = await import(process.argv[1]);
  const stack = startBdevStack(process.argv[2]);
  await stack.call('bdev_aio_create', { name: 'disk', filename: process.argv[3] });
  await stack.call('bdev_lvol_create_lvstore', { bdev_name: 'disk', lvs_name: 'lvs' });
  process.stdout.write('held');
  setInterval(() => undefined, 1000);
`;

let folder: string;
let disk: string;
let stack: BdevStack;
const cleanUps: (() => unknown)[] = [];

beforeEach(async () => {
  const [made, remove] = await makeTestFolder();
  folder = made;
  cleanUps.push(remove);
  disk = join(folder, 'disk.img');
  await writeFile(disk, Buffer.alloc(32 * MIB));
  stack = startBdevStack(join(folder, 'state'));
  cleanUps.push(async () => {
    for (const { name } of stack.registry.list()) {
      await stack.call('bdev_aio_delete', { name }).catch(() => undefined);
    }
    await stack.close();
  });
});

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

const open = (filename: string, more: Record<string, unknown> = {}): Promise<unknown> =>
  stack.call('bdev_aio_create', { name: 'other', filename, ...more });

test('a disk that another process has open is refused until that process dies, even by SIGKILL', async () => {
  if (!existsSync(FIXTURE)) throw new Error(`${FIXTURE} is missing: run \`npx tsc -b\` first`);
  const args = ['--input-type=module', '-e', HOLDER, FIXTURE, join(folder, 'its-state'), disk];
  const holder = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  cleanUps.push(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  await symlink(disk, join(folder, 'symlink'));
  await link(disk, join(folder, 'hard-link'));
  for (const path of [disk, join(folder, 'symlink'), join(folder, 'hard-link')]) {
    await expect(open(path)).rejects.toMatchObject(BUSY);
  }
  expect(stack.registry.find('other')).toBeUndefined();
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  expect(await open(disk)).toBe('other');
});

test('a lock of any other program is honoured, and given back when the bdev goes', async () => {
  const tryLock = (): boolean => {
    try {
      execFileSync('flock', ['-x', '-n', disk, 'true']);
      return true;
    } catch {
      // It ends with 1 when the lock is taken, which is what is asked here.
      return false;
    }
  };
  expect(tryLock()).toBe(true);
  await open(disk);
  expect(tryLock()).toBe(false);
  await stack.call('bdev_aio_delete', { name: 'other' });
  expect(tryLock()).toBe(true);
});

test('one disk is one bdev, but for readers', async () => {
  await open(disk);
  await expect(
    stack.call('bdev_aio_create', { name: 'again', filename: disk }),
  ).rejects.toMatchObject(BUSY);
  const reader = { name: 'reader', filename: disk, readonly: true };
  expect(await stack.call('bdev_aio_create', reader)).toBe('reader');
});

/** A block device of the test's own, if the machine lets it have one. */
function loopDevice(path: string): string | undefined {
  try {
    return execFileSync('losetup', ['--find', '--show', path], { stdio: 'pipe' }).toString().trim();
  } catch {
    // Not root, no losetup, or no loop driver: the test is skipped, by name.
    return undefined;
  }
}

test('a block device that another process has open exclusively is refused', async (context) => {
  const device = loopDevice(disk);
  if (device === undefined) return context.skip('needs losetup and the right to use it');
  cleanUps.push(() => execFileSync('losetup', ['--detach', device]));
  const holder = spawn(
    process.execPath,
    [
      '-e',
      'const { constants, openSync } = require("fs"); openSync(process.argv[1], constants.O_RDONLY | constants.O_EXCL); process.stdout.write("held"); setInterval(() => undefined, 1000);',
      device,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  cleanUps.push(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  await expect(open(device)).rejects.toMatchObject(BUSY);
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  expect(await open(device)).toBe('other');
});
