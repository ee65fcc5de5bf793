import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdir, readFile, rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB, notBuilt } from '@lariat/kernel';
import { open as openLmdb, type Database } from 'lmdb';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lockStateDir } from '../app/state-dir-lock.js';
import type { Bdev } from '../bdev/bdev.js';
import type { LvolRecord, StoreRecord } from '../bdev/lvol/lvol-metadata.js';
import { rebooted } from '../bdev/lvol/rebooted.js';
import { makeTestFolder, startBdevStack, type BdevStack } from '../bdev/stack-fixture.js';
import { checkCommand } from './check-command.js';
import type { CheckReport } from './check-paths.js';
import { readMetadata, type ReadMetadata } from './read-metadata.js';

/** Room for little more than the thick lvol, so that what it is promised can be taken from it. */
const DISK_CLUSTERS = 32;
const OUTSIDE = DISK_CLUSTERS + 5;

let folder: string;
let state: string;
let disk: string;
let remove: () => Promise<void>;
let reader: ReadMetadata;

beforeEach(async () => {
  reader = readMetadata;
  [folder, remove] = await makeTestFolder();
  state = join(folder, 'state');
  disk = join(folder, 'disk.img');
  await writeFile(disk, '');
  await truncate(disk, DISK_CLUSTERS * MIB);
  await withTarget(async (stack) => {
    await stack.call('bdev_lvol_create_lvstore', {
      bdev_name: 'disk',
      lvs_name: 'lvs',
      cluster_sz: MIB,
    });
    const create = (name: string, sizeMib: number, thin: boolean): Promise<unknown> =>
      stack.call('bdev_lvol_create', {
        lvs_name: 'lvs',
        lvol_name: name,
        size_in_mib: sizeMib,
        thin_provision: thin,
      });
    await create('v', 8, true);
    await create('w', 8, true);
    await create('thick', 10, false);
    await lvol(stack, 'v').write(0, Buffer.alloc(3 * MIB, 1));
    await lvol(stack, 'w').write(MIB, Buffer.alloc(2 * MIB, 2));
    await lvol(stack, 'thick').write(0, Buffer.alloc(MIB, 3));
    await stack.call('bdev_lvol_snapshot', { lvol_name: 'lvs/v', snapshot_name: 's' });
    await lvol(stack, 'v').write(MIB, Buffer.alloc(4096, 4));
    await lvol(stack, 'v').unmap(0, MIB);
  });
});

afterEach(() => remove());

function lvol(stack: BdevStack, name: string): Bdev {
  const found = stack.registry.find(`lvs/${name}`);
  if (found === undefined) throw new Error(`lvol ${name} is missing`);
  return found;
}

async function withTarget<T>(work: (stack: BdevStack) => Promise<T>): Promise<T> {
  const stack = startBdevStack(state);
  try {
    await stack.call('bdev_aio_create', { name: 'disk', filename: disk });
    return await work(stack);
  } finally {
    await stack.call('bdev_aio_delete', { name: 'disk' });
    await stack.close();
  }
}

interface Tables {
  readonly store: Database<StoreRecord, string>;
  readonly lvols: Database<LvolRecord, string>;
  readonly extents: Database<Buffer, [number, number]>;
  readonly lvol: (name: string) => LvolRecord;
  /** Changes one entry of the first extent of a blob, which is made if need be. */
  readonly setEntry: (blobId: number, cluster: number, entry: number) => void;
  readonly entryOf: (name: string, cluster: number) => number;
}

function storeFolder(): string {
  const [name = ''] = readdirSync(state).filter((entry) => entry.startsWith('lvs-'));
  return join(state, name);
}

/** Into the metadata past all that keeps it right. */
async function damage(work: (tables: Tables) => void): Promise<void> {
  const root = openLmdb<StoreRecord, string>({ path: storeFolder(), encoding: 'json', maxDbs: 4 });
  const lvols = root.openDB<LvolRecord, string>({ name: 'lvols', encoding: 'json' });
  const extents = root.openDB<Buffer, [number, number]>({ name: 'extents', encoding: 'binary' });
  const lvolNamed = (name: string): LvolRecord => {
    const found = [...lvols.getRange()].find(({ value }) => value.name === name);
    if (found === undefined) throw new Error(`lvol ${name} is missing`);
    return found.value;
  };
  const extent = (blobId: number): Buffer =>
    Buffer.from(extents.get([blobId, 0]) ?? Buffer.alloc(1024));
  root.transactionSync(() =>
    work({
      store: root,
      lvols,
      extents,
      lvol: lvolNamed,
      setEntry: (blobId, cluster, entry) => {
        const changed = extent(blobId);
        changed.writeUInt32LE(entry, cluster * 4);
        extents.putSync([blobId, 0], changed);
      },
      entryOf: (name, cluster) => extent(lvolNamed(name).blobId).readUInt32LE(cluster * 4),
    }),
  );
  await root.close();
}

interface Checked {
  readonly code: number;
  readonly report: CheckReport;
  readonly kinds: readonly string[];
}

async function run(
  ...argv: string[]
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const said = { stdout: '', stderr: '' };
  const output = {
    stdout: { write: (text: string) => (said.stdout += text) },
    stderr: { write: (text: string) => (said.stderr += text) },
  };
  const code = await checkCommand(argv, output, reader);
  return { code, ...said };
}

async function check(...argv: string[]): Promise<Checked> {
  const { code, stdout, stderr } = await run('--json', state, disk, ...argv);
  expect(stderr).toBe('');
  const report = JSON.parse(stdout) as CheckReport;
  const findings = [...report.stores, ...report.disks].flatMap((each) => each.findings);
  return { code, report, kinds: findings.map(({ kind }) => kind).toSorted() };
}

const UNKNOWN_BLOB = 99;

const DAMAGES: readonly (readonly [
  what: string,
  kinds: readonly string[],
  message: string,
  work: (tables: Tables) => void,
])[] = [
  [
    'a table that no lvol has',
    ['leaked-table'],
    "the table of blob 99 is no lvol's, and names 2 cluster(s)",
    ({ setEntry }) => [20, 21].forEach((entry, at) => setEntry(UNKNOWN_BLOB, at, entry)),
  ],
  [
    'clusters past the end of an lvol',
    ['leaked-entries'],
    'lvol w ends at cluster 8, and has 1 past it, which no one can read: 8',
    ({ setEntry, lvol: of }) => setEntry(of('w').blobId, 8, 20),
  ],
  [
    'a cluster of two lvols',
    ['double-use'],
    '1 cluster(s) of the disk are held by lvols ',
    ({ setEntry, lvol: of, entryOf }) => setEntry(of('w').blobId, 5, entryOf('thick', 0)),
  ],
  [
    'a cluster that an lvol has twice',
    ['double-use'],
    '1 cluster(s) of the disk are held by lvol w twice: ',
    ({ setEntry, lvol: of, entryOf }) => setEntry(of('w').blobId, 5, entryOf('w', 1)),
  ],
  [
    'a cluster outside the disk',
    ['outside-disk'],
    `lvol w has 1 cluster(s) outside the disk's ${DISK_CLUSTERS}: ${OUTSIDE}`,
    ({ setEntry, lvol: of }) => setEntry(of('w').blobId, 5, OUTSIDE),
  ],
  [
    'a parent that is gone',
    // The snapshot's table is left over with it.
    ['dangling-parent', 'leaked-table'],
    'the parent of lvol v, ',
    ({ lvols, lvol: of }) => lvols.removeSync(of('s').uuid),
  ],
  [
    'an lvol that stands on itself',
    ['parent-cycle', 'parent-cycle'],
    'lvol s stands on itself',
    ({ lvols, lvol: of }) =>
      lvols.putSync(of('s').uuid, { ...of('s'), parent: { kind: 'lvol', uuid: of('v').uuid } }),
  ],
  [
    'a parent that can be written',
    ['writable-parent'],
    'lvol v stands on s, which can be written',
    ({ lvols, lvol: of }) => lvols.putSync(of('s').uuid, { ...of('s'), isReadOnly: false }),
  ],
  [
    'two lvols with one table',
    ['leaked-table', 'shared-table'],
    'have the same table, of blob ',
    ({ lvols, lvol: of }) => lvols.putSync(of('w').uuid, { ...of('w'), blobId: of('v').blobId }),
  ],
  [
    'two lvols of one name',
    ['duplicate-name'],
    '2 lvols have the name v',
    ({ lvols, lvol: of }) => lvols.putSync(of('w').uuid, { ...of('w'), name: 'v' }),
  ],
  [
    'more promised to thick lvols than there is',
    ['over-reserved'],
    'thick lvols count on 99 more cluster(s), and ',
    ({ lvols, lvol: of }) => lvols.putSync(of('thick').uuid, { ...of('thick'), sizeClusters: 100 }),
  ],
  [
    'an lvol record without its size',
    ['leaked-table', 'lvol-record'],
    'the record of lvol ',
    ({ lvols, lvol: of }) => {
      const { sizeClusters: _, ...rest } = of('w');
      lvols.putSync(rest.uuid, rest as LvolRecord);
    },
  ],
  [
    'an extent of half its length',
    ['extent-record'],
    'and 512 bytes',
    ({ extents, lvol: of }) => extents.putSync([of('w').blobId, 3], Buffer.alloc(512)),
  ],
  [
    'no record of the store',
    ['store-record'],
    'the record of the store is missing',
    ({ store }) => store.removeSync('store'),
  ],
  [
    'a store larger than its disk',
    ['disk-too-small'],
    `has ${DISK_CLUSTERS * MIB} bytes, and its store ${100 * MIB}`,
    ({ store }) => {
      const record = store.get('store');
      if (record !== undefined) store.putSync('store', { ...record, totalClusters: 100 });
    },
  ],
  [
    'clusters of another size than the superblock says',
    ['disk-too-small', 'superblock'],
    'by its superblock, and of ',
    ({ store }) => {
      const record = store.get('store');
      if (record !== undefined) store.putSync('store', { ...record, clusterSizeBytes: 2 * MIB });
    },
  ],
];

test('a store that is well is said to be', async () => {
  const { code, report, kinds } = await check();
  expect({ code, kinds }).toEqual({ code: 0, kinds: [] });
  expect(report.stores).toMatchObject([
    { name: 'lvs', lvols: 4, usedClusters: 7, totalClusters: DISK_CLUSTERS, disk },
  ]);
  const { stdout } = await run(state);
  expect(stdout).toContain('4 lvols, 7 of 32 clusters, disk not given');
  expect(stdout).toContain('0 error(s), 0 repaired');
});

test.each(DAMAGES)('%s is found', async (_what, kinds, message, work) => {
  await damage(work);
  const before = await readFile(join(storeFolder(), 'data.mdb'));
  const found = await check();
  expect({ code: found.code, kinds: found.kinds }).toEqual({ code: 4, kinds });
  const messages = found.report.stores.flatMap(({ findings }) => findings.map((f) => f.message));
  expect(messages.filter((each) => each.includes(message))).not.toEqual([]);
  // A check looks, and does nothing else.
  expect((await readFile(join(storeFolder(), 'data.mdb'))).equals(before)).toBe(true);
});

test('leaks are repaired when that is asked for, and all else stays', async () => {
  const contents = (): Promise<readonly string[]> =>
    withTarget((stack) =>
      Promise.all(
        ['v', 'w', 's', 'thick'].map(async (name) => {
          const bdev = lvol(stack, name);
          const content = await bdev.read(0, bdev.sizeBytes);
          return createHash('sha256').update(content).digest('hex');
        }),
      ),
    );
  const before = await contents();
  await damage(({ setEntry, lvol: of }) => {
    setEntry(UNKNOWN_BLOB, 0, 20);
    setEntry(of('w').blobId, 8, 21);
  });
  const { code, report } = await check('--repair');
  expect(code).toBe(1);
  expect(report).toMatchObject({ errors: 0, repaired: 2 });
  expect(await check()).toMatchObject({ code: 0, kinds: [] });
  expect(await contents()).toEqual(before);
});

test('nothing is repaired beside damage that is more than a leak', async () => {
  await damage(({ lvols, lvol: of }) => lvols.removeSync(of('s').uuid));
  const { code, kinds } = await check('--repair');
  expect({ code, kinds }).toEqual({ code: 4, kinds: ['dangling-parent', 'leaked-table'] });
});

test('what a power cut has left is checked as the next start will have it', async () => {
  const data = join(storeFolder(), 'data.mdb');
  const image = await withTarget(async (stack) => {
    await lvol(stack, 'w').write(7 * MIB, Buffer.alloc(4096, 5));
    await Promise.all(stack.stores.list().map((store) => store.metadata.flushed()));
    return readFile(data);
  });
  expect((await check()).report.stores).toMatchObject([{ usedClusters: 8 }]);
  const left = rebooted(image);
  await writeFile(data, left);
  const { code, report } = await check();
  expect(code).toBe(0);
  expect(report.stores).toMatchObject([{ usedClusters: 7 }]);
  expect((await readFile(data)).equals(left)).toBe(true);
});

test('metadata that is no database is an error of its store', async () => {
  await writeFile(join(storeFolder(), 'data.mdb'), Buffer.alloc(65_536, 0xee));
  expect(await check()).toMatchObject({ code: 4, kinds: ['metadata-unreadable'] });
});

test('a disk without a whole superblock, or of a store that is not here, is an error', async () => {
  const other = join(folder, 'other.img');
  await writeFile(other, await readFile(disk));
  expect(await check(other)).toMatchObject({ code: 4, kinds: ['superblock'] });
  await rename(storeFolder(), join(folder, 'moved'));
  await mkdir(join(state, `lvs-${crypto.randomUUID()}.unfinished`));
  const { kinds, report } = await check();
  expect(kinds).toEqual(['metadata-missing']);
  expect(report.notes).toEqual([expect.stringContaining('was never finished')]);
  await writeFile(disk, Buffer.alloc(MIB, 7));
  expect(await check()).toMatchObject({ code: 4, kinds: ['superblock'] });
});

test('what can not be checked ends with 8', async () => {
  expect(await run(join(folder, 'nowhere'))).toMatchObject({ code: 8 });
  expect(await run(folder)).toMatchObject({
    code: 8,
    stderr: expect.stringContaining('holds no lvol store') as unknown,
  });
  expect(await run(disk)).toMatchObject({
    code: 8,
    stderr: expect.stringContaining("give the target's --state-dir as well") as unknown,
  });
});

test('a target that runs is not checked', async () => {
  await withTarget(async () => {
    expect(await run(state, disk)).toMatchObject({
      code: 8,
      stderr: expect.stringContaining('a target that uses it must be stopped first') as unknown,
    });
  });
  const lock = await lockStateDir(state);
  expect(await run(state)).toMatchObject({
    code: 8,
    stderr: expect.stringContaining('another soft-target uses') as unknown,
  });
  await lock.release();
  expect(await run(state)).toMatchObject({ code: 0 });
});

test.each([[], ['--colour', 'x']])('arguments %j end with 16 and the usage', async (...argv) => {
  const { code, stderr } = await run(...argv);
  expect(code).toBe(16);
  expect(stderr).toContain('usage: soft-target check');
});

test('takes no store for damaged because the program that reads it is missing', async () => {
  reader = () => Promise.reject(notBuilt('/opt/read-metadata-child.bundle.js'));
  const { code, stderr } = await run(state, disk);
  expect(code).toBe(8);
  expect(stderr).toContain('There is no /opt/read-metadata-child.bundle.js');
});
