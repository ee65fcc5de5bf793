import 'reflect-metadata';
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lariatError } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { Spdk, SpdkError, type RpcCaller } from '@lariat/spdk';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LmdbJournal } from '../adapters/lmdb/lmdb-journal.js';
import { NodeFiles } from '../adapters/process/node-files.js';
import type { OwnedLvol } from '../domain/ownership.js';
import type { TargetPort } from '../ports/target.port.js';
import { tempDir } from '../testing/fixture.js';
import { Disks } from './disks.js';

type Params = Readonly<Record<string, unknown>>;

/** AIO bdevs and their stores, as stock SPDK has them: a store is made over whatever there is. */
class DiskTarget implements RpcCaller, TargetPort {
  readonly version = 'fake 1';
  readonly instance = 'life-1';
  readonly bdevs = new Map<string, Params>();
  readonly stores = new Map<string, Params>();
  /** What it throws is the outcome of the call; nothing has happened then. */
  before: (method: string) => void = () => undefined;
  /** The store that examine finds on a file that is not blank. */
  foreign: { readonly name: string; readonly uuid: string } | undefined;
  private readonly api = new Spdk(this);

  spdk(): Spdk {
    return this.api;
  }

  supports(): boolean {
    return false;
  }

  async call(method: string, raw?: object): Promise<unknown> {
    const params = (raw ?? {}) as Params;
    const name = String(params['name']);
    this.before(method);
    switch (method) {
      case 'bdev_get_bdevs': {
        const bdev = this.bdevs.get(name);
        if (bdev === undefined) throw new SpdkError(method, -19, 'No such device');
        return [
          {
            ...bdev,
            aliases: [],
            product_name: 'AIO disk',
            block_size: 4096,
            num_blocks: 1,
            claimed: false,
          },
        ];
      }
      case 'bdev_aio_create':
        this.bdevs.set(name, params);
        this.examine(name, String(params['filename']));
        return name;
      case 'bdev_aio_delete':
        if (!this.bdevs.delete(name)) throw new SpdkError(method, -19, 'No such device');
        this.stores.delete(name);
        return true;
      case 'bdev_wait_for_examine':
        return true;
      case 'bdev_lvol_get_lvstores':
        return [...this.stores.values()];
      case 'bdev_lvol_create_lvstore':
        return this.createStore(params);
      case 'bdev_lvol_get_lvols':
        return [];
      case 'bdev_lvol_delete_lvstore':
        for (const [bdev, { uuid }] of this.stores)
          if (uuid === params['uuid']) this.stores.delete(bdev);
        return true;
      default:
        throw new Error(`${method} is not expected here`);
    }
  }

  /** Another's store shows by its first byte here. */
  private examine(bdev: string, filename: string): void {
    if (this.foreign === undefined || readFileSync(filename)[0] === 0) return;
    this.stores.set(bdev, storeOn(bdev, this.foreign.name, this.foreign.uuid));
  }

  private createStore(params: Params): string {
    const bdev = String(params['bdev_name']);
    const uuid = crypto.randomUUID();
    this.stores.set(bdev, storeOn(bdev, String(params['lvs_name']), uuid));
    return uuid;
  }
}

const storeOn = (bdev: string, name: string, uuid: string): Params => ({
  uuid,
  name,
  base_bdev: bdev,
  total_data_clusters: 31,
  free_clusters: 31,
  block_size: 4096,
  cluster_size: MIB,
});

let dir: ReturnType<typeof tempDir>;
let path: string;
let journal: LmdbJournal;
let target: DiskTarget;
let disks: Disks;
let claimed: { disk: string; lvsUuid: string }[];
/** What the services answer to a claim. */
let claim: () => Promise<void>;

beforeEach(() => {
  dir = tempDir();
  path = join(dir.path, 'disk.img');
  writeFileSync(path, '');
  truncateSync(path, 32 * MIB);
  journal = new LmdbJournal(join(dir.path, 'journal'));
  target = new DiskTarget();
  claimed = [];
  claim = () => Promise.resolve();
  disks = new Disks(journal, target, new NodeFiles(), {
    claim: (disk, lvsUuid) => {
      claimed.push({ disk, lvsUuid });
      return claim();
    },
  });
});

afterEach(async () => {
  await journal.close();
  dir.remove();
});

const add = (more: { erase?: boolean } = {}): Promise<unknown> =>
  disks.add({ disk: 'disk-1', name: 'd', path, tags: [], sizeBytes: null, ...more }, 'op-1');

function format(): void {
  const content = Buffer.alloc(32 * MIB);
  content.write('LUKS\xba\xbe', 0, 'latin1');
  content.write('EFI PART', content.length - 512);
  writeFileSync(path, content);
}

test('a disk with content is refused by the name of it, and nothing of it changes', async () => {
  format();
  const before = readFileSync(path);
  await expect(add()).rejects.toMatchObject({
    code: 'DISK_FOREIGN_CONTENT',
    message: expect.stringContaining(
      'holds a LUKS encrypted device, the backup of a GPT partition table, which is not',
    ) as unknown,
  });
  expect(readFileSync(path).equals(before)).toBe(true);
  expect(journal.owned('disk', 'disk-1')).toBeUndefined();
  expect(target.bdevs.size + target.stores.size).toBe(0);
});

test('a disk that may be erased is blank before the store is made', async () => {
  format();
  let blank: boolean | undefined;
  target.before = (method) => {
    if (method === 'bdev_lvol_create_lvstore') {
      blank = readFileSync(path).equals(Buffer.alloc(32 * MIB));
    }
  };
  expect(await add({ erase: true })).toMatchObject({ id: 'disk-1', capacityBytes: 31 * MIB });
  expect(blank).toBe(true);
  // Delivered again, it must find its own store and erase nothing.
  writeFileSync(path, Buffer.alloc(32 * MIB, 1));
  await add({ erase: true });
  expect(readFileSync(path).equals(Buffer.alloc(32 * MIB, 1))).toBe(true);
});

test('a retry after an outage looks at the disk all the same', async () => {
  format();
  target.before = (method) => {
    if (method === 'bdev_aio_create') throw new SpdkError(method, -12, 'Cannot allocate memory');
  };
  await expect(add()).rejects.toThrow('Cannot allocate memory');
  target.before = () => undefined;
  await expect(add()).rejects.toMatchObject({ code: 'DISK_FOREIGN_CONTENT' });
  expect(target.stores.size).toBe(0);
  expect(journal.owned('disk', 'disk-1')).toBeUndefined();
});

test('what an interrupted try has begun to write is not foreign', async () => {
  target.before = (method) => {
    if (method !== 'bdev_lvol_create_lvstore') return;
    writeFileSync(path, Buffer.alloc(32 * MIB, 7));
    throw new SpdkError(method, -5, 'Input/output error');
  };
  await expect(add()).rejects.toThrow('Input/output error');
  target.before = () => undefined;
  expect(await add()).toMatchObject({ id: 'disk-1' });
});

test('a disk that is known, but no longer holds its store, gets no new one', async () => {
  await add();
  target.stores.clear();
  target.bdevs.clear();
  await expect(add({ erase: true })).rejects.toMatchObject({ code: 'DISK_STORE_MISSING' });
  expect(target.stores.size).toBe(0);
  const record = journal.owned('disk', 'disk-1');
  if (record === undefined) throw new Error('it is on record');
  await expect(disks.load(record)).rejects.toMatchObject({ code: 'DISK_STORE_MISSING' });
  expect(target.stores.size).toBe(0);
  // It may be somebody's: it is let go.
  expect(target.bdevs.size).toBe(0);
});

test('a disk that is lost is forgotten with what it held, and one that only does not answer is not', async () => {
  await add();
  const lvol: OwnedLvol = {
    ...{ kind: 'lvol', name: 'disk-1/h-1', uuid: 'u-1', owner: 'rep-1', volume: 'vol-1' },
    ...{ operation: 'op', epoch: null },
    params: {
      ...{ disk: 'disk-1', lvolName: 'h-1', role: 'head', snapshot: null, sizeBytes: MIB },
      ...{ sourceController: null, revertTo: null },
    },
  };
  await journal.putOwned(lvol);
  await expect(disks.remove('disk-1')).rejects.toMatchObject({ code: 'DISK_IN_USE' });
  target.stores.clear();
  target.bdevs.clear();
  target.before = (method) => {
    if (method === 'bdev_aio_create') throw lariatError('TARGET_UNAVAILABLE', 'it is away');
  };
  await expect(disks.remove('disk-1')).rejects.toMatchObject({ code: 'TARGET_UNAVAILABLE' });
  expect(journal.owned('lvol', lvol.name)).toBeDefined();
  target.before = () => undefined;
  await disks.remove('disk-1');
  expect(journal.owned('lvol', lvol.name)).toBeUndefined();
  expect(journal.owned('disk', 'disk-1')).toBeUndefined();
});

test('a removal that was cut off when the store was gone goes on, and takes the file that was made along', async () => {
  const made = join(dir.path, 'made.img');
  await disks.add({ disk: 'disk-2', name: 'e', path: made, tags: [], sizeBytes: 32 * MIB }, 'op-1');
  target.before = (method) => {
    if (method === 'bdev_aio_delete') throw lariatError('TARGET_UNAVAILABLE', 'it is away');
  };
  await expect(disks.remove('disk-2')).rejects.toMatchObject({ code: 'TARGET_UNAVAILABLE' });
  expect(target.stores.size).toBe(0);
  target.before = () => undefined;
  await disks.remove('disk-2');
  expect(existsSync(made)).toBe(false);
  expect(journal.owned('disk', 'disk-2')).toBeUndefined();
});

test('a store of another disk is refused by its name, and erased on request', async () => {
  target.foreign = { name: 'disk-of-another', uuid: 'u-9' };
  writeFileSync(path, Buffer.alloc(32 * MIB, 7));
  await expect(add()).rejects.toMatchObject({
    ...{ code: 'DISK_FOREIGN_CONTENT', details: { storeUuid: 'u-9' } },
  });
  expect(journal.owned('disk', 'disk-1')).toBeUndefined();
  expect(target.bdevs.size).toBe(0);
  expect(await add({ erase: true })).toMatchObject({ id: 'disk-1' });
});

test('a disk in use elsewhere is refused and not kept on record', async () => {
  target.before = (method) => {
    if (method === 'bdev_aio_create') {
      throw new SpdkError(method, -16, 'Device or resource busy');
    }
  };
  await expect(add()).rejects.toMatchObject({ code: 'DISK_TAKEN' });
  expect(journal.owned('disk', 'disk-1')).toBeUndefined();
});

describe('a store of this cluster on a disk that the node does not know', () => {
  const OLD = 'disk-000000000000';
  const LVS = 'store-uuid';

  /** As the target shows it when the disk is opened, whatever the name of the bdev. */
  beforeEach(() => {
    target.before = (method) => {
      if (method !== 'bdev_lvol_get_lvstores') return;
      target.stores.clear();
      for (const bdev of target.bdevs.keys())
        target.stores.set(bdev, {
          ...{ uuid: LVS, name: OLD, base_bdev: bdev, total_data_clusters: 31 },
          ...{ free_clusters: 1, block_size: 4096, cluster_size: MIB },
        });
    };
  });

  test('is taken up under the id that it has, once, with what it holds', async () => {
    for (let delivery = 1; delivery <= 2; delivery += 1)
      expect(await add()).toMatchObject({
        ...{ id: OLD, name: 'd', lvsUuid: LVS, capacityBytes: 31 * MIB },
      });
    expect(claimed).toEqual([{ disk: OLD, lvsUuid: LVS }]);
    expect(journal.ownedOfKind('disk').map(({ name }) => name)).toEqual([OLD]);
    expect([...target.bdevs.keys()]).toEqual([`aio-${OLD}`]);
  });

  test("is left alone, and not kept on record, when it is not this node's", async () => {
    claim = () => Promise.reject(lariatError('DISK_TAKEN', 'it is a disk of n2'));
    await expect(add()).rejects.toMatchObject({ code: 'DISK_TAKEN' });
    expect(journal.ownedOfKind('disk')).toEqual([]);
    expect(target.bdevs.size).toBe(0);
  });

  test('is asked for again while nobody can tell whose it is', async () => {
    claim = () => Promise.reject(lariatError('NATS_UNAVAILABLE', 'no connection yet'));
    await expect(add()).rejects.toMatchObject({ code: 'NATS_UNAVAILABLE' });
    claim = () => Promise.resolve();
    expect(await add()).toMatchObject({ id: OLD });
    expect(journal.ownedOfKind('disk').map(({ name }) => name)).toEqual([OLD]);
  });
});
