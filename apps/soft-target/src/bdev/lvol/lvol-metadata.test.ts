import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeTestFolder } from '../stack-fixture.js';
import { LvolMetadata, type LvolRecord } from './lvol-metadata.js';
import { rebooted } from './rebooted.js';

/** Of lmdb's file: pages 0 and 1 are the metas of the last two commits; half of page 0 on is that of the last flush. */
const PAGE_BYTES = 4096;
const FLUSHED_META_AT = PAGE_BYTES / 2;
const METAS_BYTES = 2 * PAGE_BYTES;
const STORE = {
  format: 1,
  uuid: 'store',
  name: 'lvs',
  clusterSizeBytes: 4096,
  totalClusters: 1000,
} as const;

let folder: string;
let remove: () => Promise<void>;
/** The metadata's file after a first commit, and after a second one, which changed all that there is. */
let before: Buffer;
let after: Buffer;

beforeEach(async () => {
  [folder, remove] = await makeTestFolder();
  const path = join(folder, 'original');
  before = await commit(path, 'a', 11);
  after = await commit(path, 'b', 22);
});

afterEach(() => remove());

function lvol(name: string): LvolRecord {
  return {
    uuid: name,
    name,
    blobId: 1,
    sizeClusters: 1000,
    isThin: true,
    isReadOnly: false,
    isSnapshot: false,
    parent: { kind: 'none' },
  };
}

async function commit(path: string, name: string, entry: number): Promise<Buffer> {
  const metadata = new LvolMetadata(path);
  const table = metadata.existingTable(1);
  await metadata.commit({
    store: { ...STORE, name },
    putLvols: [lvol(name)],
    entries: Array.from({ length: 900 }, (_, cluster) => ({ table, cluster, entry })),
  });
  await metadata.flushed();
  await metadata.close();
  return readFile(join(path, 'data.mdb'));
}

/** What a target that starts with this file finds, and that it can go on from there. */
async function found(image: Buffer, name: string): Promise<unknown> {
  const path = join(folder, name);
  await mkdir(path);
  await writeFile(join(path, 'data.mdb'), image);
  const state = (metadata: LvolMetadata): unknown => ({
    store: metadata.readStore()?.name,
    lvols: metadata.readLvols().map((record) => record.name),
    entries: new Set(
      [...(metadata.readTables().get(1)?.entries() ?? [])].map(([, entry]) => entry),
    ),
  });
  const metadata = new LvolMetadata(path);
  const seen = state(metadata);
  await metadata.commit({ putLvols: [lvol('z')] });
  await metadata.flushed();
  await metadata.close();
  const again = new LvolMetadata(path);
  const lvols = again.readLvols().map((record) => record.name);
  await again.close();
  expect(lvols).toContain('z');
  return seen;
}

const FIRST = { store: 'a', lvols: ['a'], entries: new Set([11]) };
const SECOND = { store: 'b', lvols: ['a', 'b'], entries: new Set([22]) };

/** The file after the second commit, of which the flush had not ended yet. */
function unflushed(): Buffer {
  const image = Buffer.from(after);
  before.copy(image, FLUSHED_META_AT, FLUSHED_META_AT, PAGE_BYTES);
  return image;
}

/** None of the pages that the second commit wrote has reached the disk. */
function withoutPages(image: Buffer): Buffer {
  const torn = Buffer.from(image);
  let lost = 0;
  for (let at = METAS_BYTES; at < torn.length; at += PAGE_BYTES) {
    const page = torn.subarray(at, at + PAGE_BYTES);
    if (page.equals(before.subarray(at, at + PAGE_BYTES))) continue;
    page.fill(0xee);
    lost += 1;
  }
  expect(lost).toBeGreaterThan(3);
  return torn;
}

test('each commit is read back, whole', async () => {
  expect(await found(before, 'x')).toEqual(FIRST);
  expect(await found(after, 'y')).toEqual(SECOND);
  expect(await found(rebooted(after), 'z')).toEqual(SECOND);
});

test('a commit that was not flushed is there after kill -9', async () => {
  expect(await found(unflushed(), 'x')).toEqual(SECOND);
});

test('LMDB_RESTORE of the environment does not change that', async () => {
  process.env['LMDB_RESTORE'] = 'safe';
  try {
    expect(await found(unflushed(), 'x')).toEqual(SECOND);
  } finally {
    delete process.env['LMDB_RESTORE'];
  }
});

test('a power cut in the middle of a commit leaves the state that was flushed before it', async () => {
  expect(await found(withoutPages(rebooted(unflushed())), 'pages')).toEqual(FIRST);
  const cutOff = rebooted(unflushed()).subarray(0, before.length);
  expect(await found(cutOff, 'file end')).toEqual(FIRST);
});

test('a meta page torn at any word leaves the state that was flushed before it', async () => {
  const image = withoutPages(rebooted(unflushed()));
  const old = rebooted(before);
  // Which of the two is the last commit's: the one that differs.
  const metaAt = [0, PAGE_BYTES].filter(
    (at) => !image.subarray(at, at + 512).equals(old.subarray(at, at + 512)),
  );
  expect(metaAt).toHaveLength(1);
  const start = metaAt[0] ?? 0;
  for (let cut = 0; cut <= 256; cut += 8) {
    const torn = Buffer.from(image);
    old.copy(torn, start + cut, start + cut, start + 512);
    expect(await found(torn, `old tail ${cut}`)).toEqual(FIRST);
  }
});

test.each([
  ['bytes of no kind', () => Buffer.alloc(65_536, 0xee)],
  ['zeros', () => Buffer.alloc(65_536)],
  ['its first bytes alone', () => after.subarray(0, 100)],
  ['one of its meta pages alone', () => after.subarray(0, PAGE_BYTES)],
])('a file of %s is refused, and does not end the process', async (_what, image) => {
  await writeFile(join(folder, 'data.mdb'), image());
  expect(() => new LvolMetadata(folder)).toThrow('is damaged');
});

test('what is to be committed when the store is being closed is refused, and what was under way is kept', async () => {
  const path = join(folder, 'closing');
  const metadata = new LvolMetadata(path);
  const first = metadata.commit({ store: STORE });
  const closed = metadata.close();
  await expect(metadata.commit({ store: { ...STORE, name: 'late' } })).rejects.toMatchObject({
    message: 'No such device',
  });
  await Promise.all([first, closed]);
  const again = new LvolMetadata(path);
  expect(again.readStore()?.name).toBe('lvs');
  await again.close();
});
