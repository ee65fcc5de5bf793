import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toLariatError } from '@lariat/kernel';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readAll } from '../../testing/read-all.js';
import { FileSource, ownFolders } from './file-source.js';

const NEVER = new AbortController().signal;
const ANYWHERE = { maxBytes: 1000, folders: ['/'] };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lariat-file-'));
  mkdirSync(join(folder, 'images'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function verdict(
  path: string,
  settings: ConstructorParameters<typeof FileSource>[1],
): Promise<string> {
  try {
    const reader = await new FileSource(path, settings).open(NEVER);
    await reader.close();
    return 'open';
  } catch (reason) {
    return toLariatError(reason).code;
  }
}

it('gives a file, and its size before', async () => {
  const path = join(folder, 'a.img');
  writeFileSync(path, 'content');
  const reader = await new FileSource(path, ANYWHERE).open(NEVER);
  expect(reader.totalBytes).toBe(7);
  expect((await readAll(reader, 3)).toString()).toBe('content');
  await reader.close();
  await reader.close();
});

it('refuses what is no file without waiting for it', async () => {
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  expect(await verdict(join(folder, 'pipe'), ANYWHERE)).toBe('IMAGE_SOURCE_REFUSED');
  expect(await verdict(folder, ANYWHERE)).toBe('IMAGE_SOURCE_REFUSED');
  expect(await verdict('/dev/zero', ANYWHERE)).toBe('IMAGE_SOURCE_REFUSED');
  expect(await verdict(join(folder, 'missing'), ANYWHERE)).toBe('IMAGE_SOURCE_NOT_FOUND');
});

it('refuses a file that is too large', async () => {
  writeFileSync(join(folder, 'a.img'), Buffer.alloc(1001));
  expect(await verdict(join(folder, 'a.img'), ANYWHERE)).toBe('IMAGE_TOO_LARGE');
});

it('keeps to the folders that it is given, by what a name leads to', async () => {
  const inside = join(folder, 'images', 'a.img');
  const outside = join(folder, 'secret');
  writeFileSync(inside, 'a');
  writeFileSync(outside, 'b');
  mkdirSync(join(folder, 'images-2'));
  writeFileSync(join(folder, 'images-2', 'a.img'), 'c');
  symlinkSync(outside, join(folder, 'images', 'link'));
  symlinkSync(join(folder, 'images'), join(folder, 'short'));
  const settings = { maxBytes: 1000, folders: [join(folder, 'short')] };
  expect(await verdict(inside, settings)).toBe('open');
  expect(await verdict(join(folder, 'short', 'a.img'), settings)).toBe('open');
  for (const path of [
    outside,
    join(folder, 'images', 'link'),
    join(folder, 'images', '..', 'secret'),
    join(folder, 'images-2', 'a.img'),
  ])
    expect(await verdict(path, settings)).toBe('IMAGE_SOURCE_REFUSED');
  const missing = (at: string): Promise<string> => verdict(join(folder, at, 'missing'), settings);
  expect(await missing('images')).toBe('IMAGE_SOURCE_NOT_FOUND');
  // Whether there is one elsewhere is not told.
  expect(await missing('images-2')).toBe('IMAGE_SOURCE_REFUSED');
});

it('is closed without folders, whatever the file', async () => {
  const path = join(folder, 'a.img');
  writeFileSync(path, 'a');
  for (const asked of [path, join(folder, 'missing'), '/etc/shadow'])
    expect(await verdict(asked, { maxBytes: 1000, folders: [] })).toBe('IMAGE_FILES_CLOSED');
  expect(() => ownFolders({ folders: [] }).assertOpen()).toThrow(
    /LARIAT_IMAGE_FOLDERS.* --file PATH/,
  );
});

it('ends with an error when the file grows or shrinks meanwhile', async () => {
  for (const change of [
    (path: string) => appendFileSync(path, 'more'),
    (path: string) => writeFileSync(path, 'x'),
  ]) {
    const path = join(folder, 'a.img');
    writeFileSync(path, 'content');
    const reader = await new FileSource(path, ANYWHERE).open(NEVER);
    await reader.read(Buffer.alloc(2));
    change(path);
    await expect(readAll(reader)).rejects.toMatchObject({ code: 'IMAGE_SOURCE_CHANGED' });
    await reader.close();
  }
});
