import { createHash } from 'node:crypto';
import { mkdir, readdir, rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB } from '@lariat/kernel';
import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BdevClaim, type Bdev } from '../bdev.js';
import { MallocBdev } from '../malloc/malloc-bdev.js';
import {
  accountingErrors,
  makeTestFolder,
  startBdevStack,
  type BdevStack,
} from '../stack-fixture.js';
import { LvolMetadata } from './lvol-metadata.js';

let folder: string;
let remove: () => Promise<void>;
let stack: BdevStack;
let disk: string;

beforeEach(async () => {
  [folder, remove] = await makeTestFolder();
  disk = join(folder, 'disk.img');
  await writeFile(disk, Buffer.alloc(64 * MIB, 0xdb));
  stack = startBdevStack(join(folder, 'state'));
  await stack.call('bdev_aio_create', { name: 'disk', filename: disk });
  await stack.call('bdev_lvol_create_lvstore', {
    bdev_name: 'disk',
    lvs_name: 'lvs',
    cluster_sz: MIB,
    clear_method: 'none',
    lariat_overwrite: true,
  });
});

afterEach(async () => {
  const errors = stack.stores.list().flatMap((store) => accountingErrors(store));
  await stack.call('bdev_aio_delete', { name: 'disk' }).catch(() => undefined);
  await stack.close();
  await remove();
  if (errors.length > 0) throw new Error(errors.join('; '));
});

function bdev(name: string): Bdev {
  const found = stack.registry.find(name);
  if (found === undefined) throw new Error(`${name} is missing`);
  return found;
}

async function create(name: string, sizeMib = 4, thin = true): Promise<unknown> {
  return stack.call('bdev_lvol_create', {
    lvs_name: 'lvs',
    lvol_name: name,
    size_in_mib: sizeMib,
    thin_provision: thin,
  });
}

const snapshot = (lvol: string, name: string): Promise<unknown> =>
  stack.call('bdev_lvol_snapshot', { lvol_name: `lvs/${lvol}`, snapshot_name: name });

async function restart(): Promise<void> {
  await stack.call('bdev_aio_delete', { name: 'disk' });
  await stack.close();
  stack = startBdevStack(join(folder, 'state'));
  await stack.call('bdev_aio_create', { name: 'disk', filename: disk });
}

const fails = (code: number, message: string) => expect.objectContaining({ code, message });

test('an lvol looks like one of SPDK', async () => {
  const uuid = await create('v');
  expect(await stack.call('bdev_get_bdevs', { name: 'lvs/v' })).toMatchObject([
    {
      name: uuid,
      aliases: ['lvs/v'],
      product_name: 'Logical Volume',
      block_size: 4096,
      num_blocks: 1024,
      uuid,
      assigned_rate_limits: { rw_ios_per_sec: 0 },
      claimed: false,
      zoned: false,
      supported_io_types: { read: true, write: true, nvme_io: false },
      driver_specific: {
        lvol: {
          base_bdev: 'disk',
          thin_provision: true,
          num_allocated_clusters: 0,
          snapshot: false,
          clone: false,
          esnap_clone: false,
        },
      },
    },
  ]);
  const snapshotUuid = await snapshot('v', 's');
  const [head, base] = (await stack.call('bdev_lvol_get_lvols')) as readonly unknown[];
  expect(head).toMatchObject({ alias: 'lvs/v', uuid, is_clone: true, is_snapshot: false });
  expect(base).toMatchObject({ alias: 'lvs/s', uuid: snapshotUuid, is_snapshot: true });
  expect(bdev('lvs/s').describe()).toMatchObject({ lvol: { snapshot: true, clones: ['v'] } });
  expect(bdev('lvs/v').describe()).toMatchObject({ lvol: { base_snapshot: 's' } });
  expect(await stack.call('bdev_lvol_get_lvstores', { lvs_name: 'lvs' })).toMatchObject([
    {
      name: 'lvs',
      base_bdev: 'disk',
      total_data_clusters: 63,
      free_clusters: 63,
      cluster_size: MIB,
    },
  ]);
});

test('digests are of what reads give, and what is not allocated is not read', async () => {
  await create('v', 20);
  const ones = Buffer.alloc(4096, 1);
  await bdev('lvs/v').write(0, ones);
  await bdev('lvs/v').write(9 * MIB, ones);
  await snapshot('v', 's');
  await bdev('lvs/v').writeZeroes(0, MIB);
  await bdev('lvs/v').write(17 * MIB, ones);
  const ask = (name: string, first = 0, count = 64): Promise<unknown> =>
    stack.call('lariat_lvol_get_cluster_digests', {
      ...{ name, first_cluster: first, num_clusters: count },
    });
  const wanted = async (name: string, first: number, count: number): Promise<unknown> => {
    const content = await bdev(name).read(first * MIB, count * MIB);
    const digests = Array.from({ length: count }, (_, at) =>
      createHash('sha256')
        .update(content.subarray(at * MIB, (at + 1) * MIB))
        .digest(),
    );
    const sha256 = Buffer.concat(digests).toString('base64');
    return { cluster_size: MIB, num_clusters: count, sha256 };
  };
  expect(await ask('lvs/s')).toEqual(await wanted('lvs/s', 0, 20));
  expect(await ask('lvs/v', 9, 8)).toEqual(await wanted('lvs/v', 9, 8));
  expect(await ask('lvs/v', 20)).toEqual(await wanted('lvs/v', 20, 0));
  const read = vi.spyOn(bdev('disk'), 'read');
  const whole = await ask('lvs/v');
  expect(read.mock.calls.map(([, lengthBytes]) => lengthBytes)).toEqual([MIB, MIB]);
  read.mockRestore();
  expect(whole).toEqual(await wanted('lvs/v', 0, 20));
  await expect(ask('lvs/v', 21)).rejects.toEqual(fails(-22, 'Invalid argument'));
  await expect(ask('lvs/v', 0, 65)).rejects.toEqual(fails(-22, 'Invalid argument'));
  await expect(ask('disk')).rejects.toEqual(fails(-19, 'No such device'));
  const error = new BlockIoError(BlockIoFailure.media, 'bad block');
  vi.spyOn(bdev('disk'), 'read').mockRejectedValueOnce(error);
  await expect(ask('lvs/v')).rejects.toEqual(fails(-5, 'bad block'));
  vi.restoreAllMocks();
});

test('errors are those of SPDK', async () => {
  await create('v');
  await snapshot('v', 's');
  await stack.call('bdev_lvol_clone', { snapshot_name: 'lvs/s', clone_name: 'c' });
  const long = 'n'.repeat(64);
  const cases: readonly (readonly [string, Record<string, unknown>, number, string])[] = [
    ['bdev_lvol_create', { lvs_name: 'lvs', lvol_name: 'v', size_in_mib: 1 }, -17, 'File exists'],
    [
      'bdev_lvol_create',
      { lvs_name: 'lvs', lvol_name: long, size_in_mib: 1 },
      -22,
      'Invalid argument',
    ],
    [
      'bdev_lvol_create',
      { lvs_name: 'lvs', lvol_name: '', size_in_mib: 1 },
      -22,
      'Invalid argument',
    ],
    ['bdev_lvol_create', { lvs_name: 'no', lvol_name: 'x', size_in_mib: 1 }, -19, 'No such device'],
    ['bdev_lvol_create', { lvol_name: 'x', size_in_mib: 1 }, -22, 'Invalid argument'],
    [
      'bdev_lvol_create',
      { lvs_name: 'lvs', lvol_name: 'x', size_in_mib: 99 },
      -32602,
      'No space left on device',
    ],
    [
      'bdev_lvol_create',
      { lvs_name: 'lvs', lvol_name: 'x', size_in_mib: '1' },
      -32602,
      'Invalid parameters',
    ],
    [
      'bdev_lvol_create',
      { lvs_name: 'lvs', lvol_name: 'x', size_in_mib: 1, extra: 1 },
      -32602,
      'Invalid parameters',
    ],
    ['bdev_lvol_snapshot', { lvol_name: 'lvs/v', snapshot_name: 's' }, -32602, 'File exists'],
    ['bdev_lvol_snapshot', { lvol_name: 'lvs/s', snapshot_name: 't' }, -32602, 'Invalid argument'],
    ['bdev_lvol_snapshot', { lvol_name: 'disk', snapshot_name: 't' }, -19, 'No such device'],
    ['bdev_lvol_clone', { snapshot_name: 'lvs/v', clone_name: 'd' }, -32602, 'Invalid argument'],
    ['bdev_lvol_delete', { name: 'lvs/s' }, -32603, 'Operation not permitted'],
    ['bdev_lvol_delete', { name: 'lvs/no' }, -19, 'No such device'],
    ['bdev_lvol_resize', { name: 'lvs/s', size_in_mib: 8 }, -32602, 'Operation not permitted'],
    ['bdev_lvol_rename', { old_name: 'lvs/v', new_name: 'c' }, -32602, 'File exists'],
    ['bdev_lvol_set_parent', { lvol_name: 'lvs/v', parent_name: 'lvs/s' }, -32602, 'File exists'],
    [
      'bdev_lvol_set_parent',
      { lvol_name: 'lvs/v', parent_name: 'lvs/c' },
      -32602,
      'Invalid argument',
    ],
    [
      'bdev_lvol_set_parent',
      { lvol_name: 'lvs/s', parent_name: 'lvs/s' },
      -32602,
      'Invalid argument',
    ],
    ['bdev_lvol_check_shallow_copy', { operation_id: 9 }, -19, 'No such device'],
    [
      'bdev_lvol_create_lvstore',
      { bdev_name: 'disk', lvs_name: 'other' },
      -1,
      'Operation not permitted',
    ],
    ['bdev_lvol_create_lvstore', { bdev_name: 'none', lvs_name: 'other' }, -19, 'No such device'],
    ['bdev_lvol_rename_lvstore', { old_name: 'no', new_name: 'x' }, -2, 'Lvol store no not found'],
    [
      'bdev_lvol_clone_bdev',
      { bdev: 'lvs/s', lvs_name: 'lvs', clone_name: 'x' },
      -32602,
      'bdev is an lvol in same lvs as clone; use bdev_lvol_clone instead',
    ],
    ['bdev_aio_create', { name: 'disk', filename: disk }, -17, 'File exists'],
    [
      'bdev_aio_create',
      { name: 'x', filename: join(folder, 'none') },
      -2,
      'No such file or directory',
    ],
    ['bdev_aio_create', { name: 'x', filename: disk, block_size: 1000 }, -22, 'Invalid argument'],
    ['bdev_aio_delete', { name: 'lvs/v' }, -19, 'No such device'],
    ['bdev_get_bdevs', { name: 'none' }, -19, 'No such device'],
    ['bdev_get_bdevs', { name: 'none', timeout: 20 }, -110, 'Connection timed out'],
    ['bdev_set_qos_limit', { name: 'disk' }, -22, 'No rate limits specified'],
  ];
  for (const [method, params, code, message] of cases) {
    await expect(stack.call(method, params), `${method} ${JSON.stringify(params)}`).rejects.toEqual(
      fails(code, message),
    );
  }
});

test('what was never written reads as zeros on a dirty disk, also after delete and reuse', async () => {
  await create('a', 40);
  await bdev('lvs/a').write(0, Buffer.alloc(40 * MIB, 0xaa));
  await stack.call('bdev_lvol_delete', { name: 'lvs/a' });
  await create('b', 40);
  for (let mib = 0; mib < 40; mib += 1) {
    await bdev('lvs/b').write(mib * MIB + 8192, Buffer.alloc(4096, 0xbb));
  }
  const wanted = Buffer.alloc(MIB);
  wanted.fill(0xbb, 8192, 12_288);
  for (let mib = 0; mib < 40; mib += 1) {
    expect((await bdev('lvs/b').read(mib * MIB, MIB)).equals(wanted)).toBe(true);
  }
});

test('concurrent writes into one unallocated cluster keep all data and allocate once', async () => {
  await create('v');
  const lvol = bdev('lvs/v');
  await Promise.all(
    Array.from({ length: 64 }, (_, block) =>
      lvol.write(block * 4096, Buffer.alloc(4096, block + 1)),
    ),
  );
  expect(lvol.describe()).toMatchObject({ lvol: { num_allocated_clusters: 1 } });
  const content = await lvol.read(0, 64 * 4096);
  for (let block = 0; block < 64; block += 1) {
    expect(content.subarray(block * 4096, (block + 1) * 4096)).toEqual(
      Buffer.alloc(4096, block + 1),
    );
  }
});

test('a snapshot under load has whole writes only, and all that were acknowledged before it', async () => {
  await create('v', 2);
  const lvol = bdev('lvs/v');
  let acknowledged = 0;
  let running = true;
  // Each write covers two clusters' border, with one number throughout.
  const writer = (async () => {
    for (let n = 1; running && n < 250; n += 1) {
      await lvol.write(MIB - 8192, Buffer.alloc(16_384, n));
      acknowledged = n;
    }
  })();
  for (let made = 0; made < 10; made += 1) {
    const before = acknowledged;
    await snapshot('v', `s${made}`);
    const content = await bdev(`lvs/s${made}`).read(MIB - 8192, 16_384);
    const n = content[0] ?? 0;
    expect(content.equals(Buffer.alloc(16_384, n))).toBe(true);
    expect(n).toBeGreaterThanOrEqual(before);
  }
  running = false;
  await writer;
});

test('a full store fails writes with no-space and loses nothing', async () => {
  await create('v', 60);
  await create('w', 60);
  await bdev('lvs/v').write(0, Buffer.alloc(60 * MIB, 1));
  await bdev('lvs/w').write(0, Buffer.alloc(3 * MIB, 2));
  await expect(bdev('lvs/w').write(5 * MIB, Buffer.alloc(4096, 3))).rejects.toMatchObject({
    failure: 'no-space',
  });
  expect((await bdev('lvs/w').read(5 * MIB, 4096)).equals(Buffer.alloc(4096))).toBe(true);
  await bdev('lvs/v').unmap(0, 2 * MIB);
  await bdev('lvs/w').write(5 * MIB, Buffer.alloc(4096, 3));
  expect((await bdev('lvs/v').read(0, MIB)).equals(Buffer.alloc(MIB))).toBe(true);
});

test('a thick lvol has its space for sure', async () => {
  await create('thick', 60, false);
  await create('v', 60);
  await bdev('lvs/v').write(0, Buffer.alloc(3 * MIB, 1));
  await expect(bdev('lvs/v').write(3 * MIB, Buffer.alloc(4096))).rejects.toMatchObject({
    failure: 'no-space',
  });
  await bdev('lvs/thick').write(0, Buffer.alloc(60 * MIB, 2));
});

test('the snapshot of a thick lvol has all of its clusters, also on top of another parent', async () => {
  await create('thick', 4, false);
  await bdev('lvs/thick').write(MIB, Buffer.alloc(MIB, 3));
  await snapshot('thick', 'base');
  await create('other');
  await bdev('lvs/other').write(0, Buffer.alloc(4 * MIB, 4));
  await snapshot('other', 'below');
  await stack.call('bdev_lvol_set_parent', { lvol_name: 'lvs/base', parent_name: 'lvs/below' });
  const expected = Buffer.concat([Buffer.alloc(MIB), Buffer.alloc(MIB, 3), Buffer.alloc(2 * MIB)]);
  expect((await bdev('lvs/thick').read(0, 4 * MIB)).equals(expected)).toBe(true);
  await stack.call('bdev_lvol_decouple_parent', { name: 'lvs/thick' });
  await stack.call('bdev_lvol_delete', { name: 'lvs/base' });
  expect((await bdev('lvs/thick').read(0, 4 * MIB)).equals(expected)).toBe(true);
});

test('an lvol over a snapshot grows and shrinks by tebibytes at once, and not beyond what a table can have', async () => {
  await create('v');
  await bdev('lvs/v').write(0, Buffer.alloc(4096, 7));
  await snapshot('v', 's');
  const resize = (sizeMib: number) =>
    stack.call('bdev_lvol_resize', { name: 'lvs/v', size_in_mib: sizeMib });
  await resize(2 ** 30);
  expect(bdev('lvs/v').sizeBytes).toBe(2 ** 50);
  await bdev('lvs/v').write(2 ** 50 - 4096, Buffer.alloc(4096, 8));
  expect(await bdev('lvs/v').read(2 ** 50 - 8192, 8192)).toEqual(
    Buffer.concat([Buffer.alloc(4096), Buffer.alloc(4096, 8)]),
  );
  await stack.call('bdev_lvol_delete', { name: 'lvs/s' });
  expect((await bdev('lvs/v').read(0, 4096)).equals(Buffer.alloc(4096, 7))).toBe(true);
  await expect(resize(2 ** 32)).rejects.toMatchObject({ message: 'Cannot allocate memory' });
  await resize(4);
  expect(bdev('lvs/v').sizeBytes).toBe(4 * MIB);
});

test('all is there after a restart', async () => {
  const uuid = await create('v');
  await bdev('lvs/v').write(4096, Buffer.alloc(4096, 7));
  await snapshot('v', 's');
  await bdev('lvs/v').write(8192, Buffer.alloc(4096, 8));
  await stack.call('bdev_lvol_resize', { name: 'lvs/v', size_in_mib: 6 });
  await stack.call('bdev_lvol_rename', { old_name: 'lvs/v', new_name: 'w' });
  await stack.call('bdev_lvol_rename_lvstore', { old_name: 'lvs', new_name: 'store' });
  const before = await stack.call('bdev_get_bdevs', { name: 'store/w' });
  await restart();
  expect(await stack.call('bdev_get_bdevs', { name: 'store/w' })).toEqual(before);
  expect(bdev('store/w').uuid).toBe(uuid);
  expect(await bdev('store/w').read(4096, 8192)).toEqual(
    Buffer.concat([Buffer.alloc(4096, 7), Buffer.alloc(4096, 8)]),
  );
  await expect(bdev('store/s').write(0, Buffer.alloc(4096))).rejects.toMatchObject({
    failure: 'read-only',
  });
});

test('a store whose metadata is missing is left alone', async () => {
  await create('v');
  await stack.call('bdev_aio_delete', { name: 'disk' });
  const state = join(folder, 'state');
  const [name = ''] = (await readdir(state)).filter((entry) => entry.startsWith('lvs-'));
  await rename(join(state, name), join(folder, 'elsewhere'));
  await stack.call('bdev_aio_create', { name: 'disk', filename: disk });
  expect(await stack.call('bdev_lvol_get_lvstores')).toEqual([]);
  await expect(
    stack.call('bdev_lvol_create_lvstore', { bdev_name: 'disk', lvs_name: 'lvs' }),
  ).rejects.toEqual(fails(-17, 'File exists'));
  await stack.call('bdev_aio_delete', { name: 'disk' });
  await rename(join(folder, 'elsewhere'), join(state, name));
  await stack.call('bdev_aio_create', { name: 'disk', filename: disk });
  expect(stack.registry.find('lvs/v')).toBeDefined();
});

test('a store cut off while it was made or deleted leaves a blank disk', async () => {
  await stack.call('bdev_aio_delete', { name: 'disk' });
  await stack.close();
  const state = join(folder, 'state');
  const [name = ''] = await readdir(state);
  await rename(join(state, name), join(state, `${name}.unfinished`));
  stack = startBdevStack(state);
  await stack.call('bdev_aio_create', { name: 'disk', filename: disk });
  expect(await readdir(state)).toEqual([]);
  await stack.call('bdev_lvol_create_lvstore', { bdev_name: 'disk', lvs_name: 'again' });
  await stack.call('bdev_lvol_delete_lvstore', { lvs_name: 'again' });
  expect(await readdir(state)).toEqual([]);
  expect(await stack.call('bdev_get_bdevs', { name: 'disk' })).toMatchObject([{ claimed: false }]);
});

test('a disk that goes away while a store is made on it is blank when it is back', async () => {
  await stack.call('bdev_lvol_delete_lvstore', { lvs_name: 'lvs' });
  const gone = new BlockIoError(BlockIoFailure.gone, 'disk was removed');
  vi.spyOn(bdev('disk'), 'flush').mockRejectedValueOnce(gone);
  const make = { bdev_name: 'disk', lvs_name: 'lvs' };
  await expect(stack.call('bdev_lvol_create_lvstore', make)).rejects.toBe(gone);
  await stack.call('bdev_aio_delete', { name: 'disk' });
  await stack.call('bdev_aio_create', { name: 'disk', filename: disk });
  expect(await stack.call('bdev_lvol_create_lvstore', make)).toBeTypeOf('string');
});

test('a deleted store takes all lvols with it, but none in use', async () => {
  await create('v');
  await snapshot('v', 's');
  stack.registry.claim(bdev('lvs/v'), 'test', BdevClaim.exclusiveWrite);
  await expect(stack.call('bdev_lvol_delete', { name: 'lvs/v' })).rejects.toEqual(
    fails(-32603, 'Device or resource busy'),
  );
  await expect(stack.call('bdev_lvol_delete_lvstore', { lvs_name: 'lvs' })).rejects.toEqual(
    fails(-32602, 'Device or resource busy'),
  );
  stack.registry.release(bdev('lvs/v'), 'test');
  await stack.call('bdev_lvol_delete_lvstore', { lvs_name: 'lvs' });
  expect(stack.registry.list().map(({ name }) => name)).toEqual(['disk']);
});

test('a grown disk gives the store more room', async () => {
  await truncate(disk, 80 * MIB);
  await stack.call('bdev_aio_rescan', { name: 'disk' });
  await stack.call('bdev_lvol_grow_lvstore', { lvs_name: 'lvs' });
  expect(await stack.call('bdev_lvol_get_lvstores')).toMatchObject([{ total_data_clusters: 79 }]);
  await create('v', 79);
  await bdev('lvs/v').write(0, Buffer.alloc(79 * MIB, 1));
  await restart();
  expect((await bdev('lvs/v').read(78 * MIB, MIB)).equals(Buffer.alloc(MIB, 1))).toBe(true);
});

test('an external snapshot clone waits for its bdev after a restart', async () => {
  const source = new MallocBdev('source', 4096, 4 * MIB);
  await source.write(0, Buffer.alloc(4 * MIB, 0x55));
  stack.registry.register(source);
  await stack.call('bdev_lvol_clone_bdev', { bdev: 'source', lvs_name: 'lvs', clone_name: 'e' });
  await bdev('lvs/e').write(4096, Buffer.alloc(4096, 0x66));
  await snapshot('e', 'es');
  await bdev('lvs/e').write(2 * MIB, Buffer.alloc(4096, 0x77));
  const content = Buffer.alloc(4 * MIB, 0x55);
  content.fill(0x66, 4096, 8192).fill(0x77, 2 * MIB, 2 * MIB + 4096);
  expect((await bdev('lvs/e').read(0, 4 * MIB)).equals(content)).toBe(true);
  await expect(
    stack.call('bdev_lvol_create_lvstore', { bdev_name: 'source', lvs_name: 'x' }),
  ).rejects.toEqual(fails(-1, 'Operation not permitted'));

  await restart();
  expect(stack.registry.find('lvs/e')).toBeUndefined();
  expect(await stack.call('bdev_lvol_get_lvols')).toMatchObject([
    { name: 'es', is_esnap_clone: true, is_degraded: true },
    { name: 'e', is_clone: true, is_degraded: true },
  ]);
  stack.registry.register(source);
  expect((await bdev('lvs/e').read(0, 4 * MIB)).equals(content)).toBe(true);
  expect(bdev('lvs/es').describe()).toMatchObject({
    lvol: { esnap_clone: true, external_snapshot_name: source.uuid },
  });

  await stack.registry.remove(source);
  await expect(bdev('lvs/e').read(3 * MIB, 4096)).rejects.toMatchObject({ failure: 'gone' });
  expect((await bdev('lvs/e').read(2 * MIB, 4096)).equals(Buffer.alloc(4096, 0x77))).toBe(true);
  stack.registry.register(source);
  expect((await bdev('lvs/e').read(0, 4 * MIB)).equals(content)).toBe(true);
  await stack.call('bdev_lvol_inflate', { name: 'lvs/e' });
  await stack.call('bdev_lvol_delete', { name: 'lvs/es' });
  expect((await bdev('lvs/e').read(0, 4 * MIB)).equals(content)).toBe(true);
  expect(stack.registry.claimOf(source)).toBeUndefined();
});

test('an lvol costs one commit of one record, however many there are', async () => {
  const commit = vi.spyOn(LvolMetadata.prototype, 'commit');
  for (let made = 0; made < 300; made += 1) await create(`v${made}`);
  const costs = commit.mock.calls.map(([{ putLvols = [], entries = [] }]) => [
    putLvols.length,
    entries.length,
  ]);
  commit.mockRestore();
  expect(costs).toEqual(Array.from({ length: 300 }, () => [1, 0]));
});

test('a bdev is waited for, counted and limited', async () => {
  const waiting = stack.call('bdev_get_bdevs', { name: 'lvs/late', timeout: 5000 });
  await create('late');
  await expect(waiting).resolves.toMatchObject([{ aliases: ['lvs/late'] }]);
  const late = bdev('lvs/late');
  await late.write(0, Buffer.alloc(8192));
  expect(await stack.call('bdev_get_iostat', { names: ['lvs/late'] })).toMatchObject({
    bdevs: [{ name: late.name, num_write_ops: 1, bytes_written: 8192, num_read_ops: 0 }],
  });
  await stack.call('bdev_set_qos_limit', { name: 'lvs/late', w_mbytes_per_sec: 10 });
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: 4 }, () => late.write(0, Buffer.alloc(MIB, 1))));
  expect(performance.now() - startedMs).toBeGreaterThan(250);
  await expect(late.read(4096, 4 * MIB)).rejects.toMatchObject({ failure: 'out-of-range' });
  await expect(late.read(1, 4096)).rejects.toMatchObject({ failure: 'out-of-range' });
});

test('folders that are not stores do not disturb', async () => {
  await mkdir(join(folder, 'state', 'other'));
  await restart();
  expect(await stack.call('bdev_lvol_get_lvstores')).toHaveLength(1);
});
