import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import {
  STALE_HEAD,
  clusterDigestOf,
  decodeDigestPage,
  nodeHostNqn,
  replicaNqn,
  scratchNqn,
  snapshotNqn,
} from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, MIB } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LmdbDigests } from '../adapters/lmdb/lmdb-digests.js';

import type { ConnectedDevice } from '../ports/block-connector.port.js';
import { replicasOf } from './presence.js';
import { context, fixture, tempDir, type Fixture } from '../testing/fixture.js';

const SIZE_BYTES = 4 * MIB;
let dir: ReturnType<typeof tempDir>;
let node: Fixture;
/** Content by uuid of the namespace; zeros when nothing is said. */
const content = new Map<string, Buffer>();
let reads: { readonly uuid: string; readonly offsetBytes: number }[] = [];

function deviceOf(uuid: string): ConnectedDevice {
  const data = content.get(uuid) ?? Buffer.alloc(SIZE_BYTES);
  content.set(uuid, data);
  return {
    uuid,
    blockSizeBytes: 4096,
    sizeBytes: data.length,
    read: (offsetBytes, lengthBytes) => {
      reads.push({ uuid, offsetBytes });
      return Promise.resolve(Buffer.from(data.subarray(offsetBytes, offsetBytes + lengthBytes)));
    },
    write: (offsetBytes, written) => {
      written.copy(data, offsetBytes);
      return Promise.resolve();
    },
    writeZeroes: (offsetBytes, lengthBytes) => {
      data.fill(0, offsetBytes, offsetBytes + lengthBytes);
      return Promise.resolve();
    },
    unmap: () => Promise.resolve(),
    flush: () => Promise.resolve(),
    refresh: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

beforeEach(async () => {
  dir = tempDir();
  content.clear();
  reads = [];
  node = await fixture(dir.path, {
    connect: ({ endpoint, hostNqn }) => {
      const subsystem = node.target.subsystems.get(endpoint.nqn);
      const isForeign = subsystem === undefined;
      if (!isForeign && !subsystem.hosts.has(hostNqn)) throw new Error('not admitted');
      return Promise.resolve(deviceOf(endpoint.uuid));
    },
  });
});
afterEach(async () => {
  await node.journal.close();
  await node.digestStore.close();
  dir.remove();
});

const replica = 'rep-1';
const volume = 'vol-1';
const of = { replica, volume };
const create = () =>
  node.handlers['replica.create']({ ...of, disk: 'disk-1', sizeBytes: SIZE_BYTES }, context);
const snap = async (snapshot: string) =>
  (await node.handlers['snapshot.create']({ ...of, snapshot }, context)).lvolUuid;
const retire = () => node.handlers['rebuild.retire-head'](of, context);
const digest = (snapshot: string, verified: boolean) =>
  node.handlers['rebuild.digest-snapshot']({ ...of, snapshot, verified }, context);
const names = () => [...node.target.lvols.values()].map(({ name }) => name).toSorted();
const parentOf = (name: string) => {
  const lvols = [...node.target.lvols.values()];
  const parent = lvols.find((lvol) => lvol.name === name)?.parent ?? null;
  return lvols.find(({ uuid }) => uuid === parent)?.name ?? null;
};

describe('a lost replica that is back', () => {
  test('is cut off from every host, and its head is frozen', async () => {
    await create();
    await snap('s1');
    const hostNqns = ['nqn.2026-11.io.lariat:engine:vol-1:1'];
    await node.handlers['replica.export']({ ...of, epoch: 1, hostNqns }, context);
    const { snapshots } = await retire();
    expect(node.target.subsystems.has(replicaNqn(replica))).toBe(false);
    expect(snapshots).toEqual([
      { snapshot: 's1', parent: null, sizeBytes: SIZE_BYTES },
      { snapshot: STALE_HEAD, parent: 's1', sizeBytes: SIZE_BYTES },
    ]);
    expect(names()).toEqual(['rep-1.s1', 'rep-1.stale-head']);
    // Without a head it is still told of, or nobody would sweep it when its volume is gone.
    expect(replicasOf(node.journal, () => undefined)).toEqual([{ replica, volume, record: null }]);
  });

  test('answers the same when it is asked again, wherever it was cut off', async () => {
    for (const method of ['bdev_lvol_snapshot', 'bdev_lvol_delete']) {
      for (const when of ['before', 'after'] as const) {
        await create();
        await snap('s1');
        node.target[when] = (called) => {
          if (called === method) throw new Error(`cut off ${when} ${called}`);
        };
        await expect(retire()).rejects.toThrow('cut off');
        node.target[when] = () => undefined;
        const { snapshots } = await retire();
        expect(snapshots.map(({ snapshot }) => snapshot)).toEqual(['s1', STALE_HEAD]);
        expect(names()).toEqual(['rep-1.s1', 'rep-1.stale-head']);
        await node.handlers['replica.delete'](of, context);
      }
    }
  });

  test('keeps the head that was frozen first, when the rebuild after it did not end', async () => {
    await create();
    await retire();
    const frozen = [...node.target.lvols.keys()];
    const source = await unfinishedHead();
    const { snapshots } = await retire();
    expect([...node.target.lvols.keys()]).toEqual(frozen);
    expect(snapshots).toHaveLength(1);
    expect(node.journal.owned('controller', source)).toBeUndefined();
  });

  test('freezes the newer head, when the rebuild after it ended but for its last deletion', async () => {
    await create();
    await retire();
    const stale = [...node.target.lvols.keys()][0] ?? '';
    const copy = await node.target.spdk().lvol.clone(stale, 'rep-1.join');
    await node.journal.putOwned(ownedLvol('rep-1.join', copy, 'snapshot', 'join'));
    const head = await node.target.spdk().lvol.clone(copy, 'rep-1');
    await node.journal.putOwned(ownedLvol('rep-1', head, 'head', null));
    const { snapshots } = await retire();
    expect(snapshots.map(({ snapshot, parent }) => [snapshot, parent])).toEqual([
      ['join', null],
      [STALE_HEAD, 'join'],
    ]);
    expect(node.target.lvols.has(stale)).toBe(false);
  });

  test('says that it has nothing, when its disk lost it', async () => {
    await create();
    await snap('s1');
    node.target.lvols.clear();
    expect(await retire()).toEqual({ snapshots: [] });
    expect(node.journal.ownedBy(replica)).toEqual([]);
  });

  test('says nothing while its disk is not loaded', async () => {
    await create();
    node.target.stores.clear();
    await expect(retire()).rejects.toMatchObject({ code: 'DISK_LOST' });
    expect(node.journal.ownedBy(replica)).toHaveLength(1);
  });

  test('is left alone while an engine of its node uses it', async () => {
    await create();
    const legs = [{ replica, endpoint: null }];
    const engine = { volume, uuid: 'raid-uuid', epoch: 1, sizeBytes: SIZE_BYTES, legs };
    await node.handlers['engine.start'](engine, context);
    await expect(retire()).rejects.toMatchObject({ code: 'OPERATION_IN_PROGRESS' });
  });

  test('loses an unfinished head and scratch, and nothing else, when a rebuild is undone', async () => {
    await create();
    await snap('s1');
    await retire();
    await unfinishedHead();
    const hostNqn = nodeHostNqn('n1');
    const scratch = { ...of, disk: 'disk-1', sizeBytes: SIZE_BYTES, parent: STALE_HEAD, hostNqn };
    await node.handlers['rebuild.create-scratch'](scratch, context);
    await node.handlers['rebuild.discard-head'](of, context);
    expect(names()).toEqual(['rep-1.s1', 'rep-1.stale-head']);
    expect(node.target.subsystems.size).toBe(0);
  });

  test('gives up the snapshots that are not wanted; what stands on them stays', async () => {
    await create();
    for (const snapshot of ['s1', 's2', 's3', 's4']) await snap(snapshot);
    await node.handlers['rebuild.prune-snapshots']({ ...of, keep: ['s1', 's3'] }, context);
    expect(names()).toEqual(['rep-1', 'rep-1.s1', 'rep-1.s3']);
    expect(parentOf('rep-1.s3')).toBe('rep-1.s1');
    expect(parentOf('rep-1')).toBe('rep-1.s3');
  });

  test('gives up no snapshot that somebody else has a clone of', async () => {
    await create();
    const uuid = await snap('s1');
    await node.handlers['replica.create'](
      { replica: 'rep-2', volume: 'vol-2', disk: 'disk-1', sizeBytes: SIZE_BYTES },
      context,
    );
    const other = [...node.target.lvols.values()].find(({ name }) => name === 'rep-2');
    if (other === undefined) throw new Error('rep-2 was made');
    other.parent = uuid;
    const prune = () => node.handlers['rebuild.prune-snapshots']({ ...of, keep: [] }, context);
    await expect(prune()).rejects.toMatchObject({ code: 'SNAPSHOT_IN_USE' });
    expect(names()).toEqual(['rep-1', 'rep-1.s1', 'rep-2']);
    await node.handlers['rebuild.retire-head'](of, context);
    await node.handlers['rebuild.discard-head'](of, context);
    await expect(prune()).rejects.toMatchObject({ code: 'SNAPSHOT_IN_USE' });
    expect(node.target.lvols.get(uuid)).toBeDefined();
    expect(other.parent).toBe(uuid);
  });
});

function ownedLvol(
  lvolName: string,
  uuid: string,
  role: 'head' | 'snapshot',
  snapshot: string | null,
) {
  const params = { disk: 'disk-1', lvolName, role, snapshot, sizeBytes: SIZE_BYTES };
  return {
    kind: 'lvol' as const,
    name: `disk-1/${lvolName}`,
    uuid,
    owner: replica,
    volume,
    operation: 'op-1',
    epoch: null,
    params: { ...params, sourceController: null, revertTo: null },
  };
}

/** A head that stands on a source elsewhere, as a rebuild that was cut off leaves it; answers its controller's name. */
async function unfinishedHead(): Promise<string> {
  const lvolName = 'rep-1';
  const name = `${replica}.source`;
  const uuid = await node.target.spdk().lvol.create({
    store: { lvsName: 'disk-1' },
    lvolName,
    sizeMib: 4,
  });
  const record = ownedLvol(lvolName, uuid, 'head', null);
  await node.journal.putOwned({ ...record, params: { ...record.params, sourceController: name } });
  const endpoint = { nqn: 'nqn.source', traddr: '127.0.0.1', trsvcid: '1', uuid: 'source-uuid' };
  await node.journal.putOwned({
    kind: 'controller',
    name,
    uuid: endpoint.uuid,
    owner: replica,
    volume,
    operation: 'op-1',
    epoch: null,
    params: { role: 'source', replica, endpoint, hostNqn: nodeHostNqn('n1'), copy: null },
  });
  return name;
}

describe('digests of a snapshot', () => {
  test('are read once and then answered from what is kept, also by the next agent', async () => {
    await create();
    const uuid = await snap('s1');
    content.set(uuid, randomBytes(SIZE_BYTES));
    const first = await digest('s1', true);
    expect(reads).toHaveLength(4);
    expect(node.target.subsystems.size).toBe(0);
    expect(await digest('s1', true)).toEqual(first);
    await node.digestStore.close();
    const reopened = new LmdbDigests(join(dir.path, 'digests'));
    expect(reopened.get(uuid)?.digests).toHaveLength(4 * 32);
    await reopened.retain(new Set());
    expect(reopened.get(uuid)).toBeUndefined();
    await reopened.close();
    expect(reads).toHaveLength(4);
  });

  test('are read again after a restart of the target when they must be verified, and find what a disk has lost', async () => {
    await create();
    const uuid = await snap('s1');
    const data = randomBytes(SIZE_BYTES);
    content.set(uuid, data);
    const before = await digest('s1', false);
    node.target.instance = 'life-2';
    data.writeUInt8(data.readUInt8(3 * MIB) ^ 1, 3 * MIB);
    expect(await digest('s1', false)).toEqual(before);
    const after = await digest('s1', true);
    expect(after.sha256).not.toBe(before.sha256);
  });

  test('are read through the export of a rebuild, which stays', async () => {
    await create();
    await snap('s1');
    const input = { ...of, snapshot: 's1', hostNqn: 'nqn.other' };
    await node.handlers['rebuild.export-snapshot'](input, context);
    await digest('s1', true);
    const subsystem = node.target.subsystems.get(snapshotNqn(replica, 's1'));
    expect(subsystem?.hosts).toContain('nqn.other');
    expect(node.target.subsystems.size).toBe(1);
  });
});

describe('copying by digests', () => {
  /** A frozen head and a source, with a scratch lvol that reads as the head. */
  async function prepared(have: Buffer, wanted: Buffer) {
    await create();
    await retire();
    const base = [...node.target.lvols.keys()][0] ?? '';
    content.set(base, have);
    content.set('source-uuid', wanted);
    const hostNqn = nodeHostNqn('n1');
    const scratch = await node.handlers['rebuild.create-scratch'](
      { ...of, disk: 'disk-1', sizeBytes: SIZE_BYTES, parent: STALE_HEAD, hostNqn },
      context,
    );
    expect(scratch.nqn).toBe(scratchNqn(replica));
    content.set(scratch.uuid, Buffer.from(have));
    const source = { nqn: 'nqn.source', traddr: '127.0.0.1', trsvcid: '1', uuid: 'source-uuid' };
    const copy = (digests: string, firstCluster = 0) =>
      node.handlers['rebuild.copy-clusters'](
        { ...of, base: STALE_HEAD, source, firstCluster, digests },
        context,
      );
    return { copy, scratch };
  }

  /** What the source's node would answer: its own snapshot, in a fixture of this test. */
  async function pageOf(data: Buffer, firstCluster: number, clusters: number): Promise<string> {
    const other = 'rep-2';
    const made = { replica: other, volume, disk: 'disk-1', sizeBytes: SIZE_BYTES };
    await node.handlers['replica.create'](made, context);
    const input = { replica: other, volume, snapshot: 's1' };
    const { lvolUuid } = await node.handlers['snapshot.create'](input, context);
    content.set(lvolUuid, data);
    const page = { ...input, firstCluster, clusters };
    return (await node.handlers['rebuild.read-digests'](page, context)).digests;
  }

  test('reads from the source the clusters that differ, and no others', async () => {
    const have = randomBytes(SIZE_BYTES);
    const wanted = Buffer.from(have);
    randomBytes(10).copy(wanted, 2 * MIB + 77);
    wanted.fill(0, 3 * MIB);
    const { copy, scratch } = await prepared(have, wanted);
    const page = await pageOf(wanted, 0, 4);
    expect(await copy(page)).toEqual({ copiedClusters: 1, zeroedClusters: 1 });
    expect(content.get(scratch.uuid)?.equals(wanted)).toBe(true);
    expect(reads.filter(({ uuid }) => uuid === 'source-uuid')).toEqual([
      { uuid: 'source-uuid', offsetBytes: 2 * MIB },
    ]);
  });

  test('goes page by page', async () => {
    const wanted = randomBytes(SIZE_BYTES);
    const { copy, scratch } = await prepared(Buffer.alloc(SIZE_BYTES), wanted);
    const page = await pageOf(wanted, 1, 2);
    const digests = decodeDigestPage(page, 2);
    expect(digests[0]).toEqual(clusterDigestOf(wanted.subarray(MIB, 2 * MIB)));
    expect(await copy(page, 1)).toEqual({ copiedClusters: 2, zeroedClusters: 0 });
    const copied = content.get(scratch.uuid) ?? Buffer.alloc(0);
    expect(copied.subarray(MIB, 3 * MIB).equals(wanted.subarray(MIB, 3 * MIB))).toBe(true);
    expect(copied.subarray(0, MIB).equals(Buffer.alloc(CLUSTER_SIZE_BYTES))).toBe(true);
  });

  test('takes nothing from a source that does not read as its digests say', async () => {
    const wanted = randomBytes(SIZE_BYTES);
    const { copy, scratch } = await prepared(Buffer.alloc(SIZE_BYTES), Buffer.from(wanted));
    const page = await pageOf(wanted, 0, 4);
    content.get('source-uuid')?.fill(7, MIB, MIB + 1);
    await expect(copy(page)).rejects.toMatchObject({ code: 'TARGET_REFUSED' });
    const copied = content.get(scratch.uuid) ?? Buffer.alloc(0);
    expect(copied.subarray(MIB, 2 * MIB).equals(Buffer.alloc(MIB))).toBe(true);
  });

  test('writes to the scratch lvol through an export that goes with the page', async () => {
    const wanted = randomBytes(SIZE_BYTES);
    const { copy, scratch } = await prepared(Buffer.alloc(SIZE_BYTES), wanted);
    await copy(await pageOf(wanted, 0, 4));
    expect(content.get(scratch.uuid)?.equals(wanted)).toBe(true);
    expect(node.target.subsystems.size).toBe(0);
  });

  test('refuses a page that is none', () => {
    expect(() => decodeDigestPage('nonsense', 4)).toThrow('cannot be read');
  });
});

test('the scratch lvol of another snapshot is not taken for this one', async () => {
  await create();
  await snap('s1');
  await snap('s2');
  const scratch = { ...of, disk: 'disk-1', sizeBytes: SIZE_BYTES, hostNqn: nodeHostNqn('n1') };
  const make = (parent: string | null) =>
    node.handlers['rebuild.create-scratch']({ ...scratch, parent }, context);
  const first = await make('s1');
  expect(await make('s1')).toEqual(first);
  const second = await make('s2');
  expect(second.uuid).not.toBe(first.uuid);
  expect(parentOf('rep-1.scratch')).toBe('rep-1.s2');
  await node.handlers['rebuild.create-scratch'](
    { ...scratch, parent: 's2', mibPerSecond: 5 },
    context,
  );
  expect(node.target.limits.get(second.uuid)).toEqual({ w_mbytes_per_sec: 5 });
  await node.handlers['rebuild.freeze-scratch']({ ...of, snapshot: 's3' }, context);
  expect(names()).toEqual(['rep-1', 'rep-1.s1', 'rep-1.s2', 'rep-1.s3']);
  expect(parentOf('rep-1.s3')).toBe('rep-1.s2');
  await make(null);
  expect(parentOf('rep-1.scratch')).toBeNull();
});
