import 'reflect-metadata';
import { type RecordPosition, type VolumeRecord, replicaNqn } from '@lariat/contracts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectionLost } from '../testing/fake-target.js';
import { context, fixture, newContext, tempDir, type Fixture } from '../testing/fixture.js';

const MIB = 1024 * 1024;
let dir: ReturnType<typeof tempDir>;
let node: Fixture;

beforeEach(async () => {
  dir = tempDir();
  node = await fixture(dir.path);
});
afterEach(async () => {
  await node.journal.close();
  dir.remove();
});

const create = (replica: string, volume = 'vol-1') =>
  node.handlers['replica.create']({ replica, volume, disk: 'disk-1', sizeBytes: 8 * MIB }, context);
const snap = (replica: string, snapshot: string) =>
  node.handlers['snapshot.create']({ replica, volume: 'vol-1', snapshot }, context);
const remove = (replica: string) =>
  node.handlers['replica.delete']({ replica, volume: 'vol-1' }, context);
const exportTo = (replica: string, hostNqns: readonly string[]) =>
  node.handlers['replica.export']({ replica, volume: 'vol-1', epoch: 1, hostNqns }, context);
const revert = (replica: string, snapshot: string) =>
  node.handlers['replica.revert'](
    { replica, volume: 'vol-1', snapshot, sizeBytes: 8 * MIB },
    context,
  );

describe('what a node knows more of than who decides on it', () => {
  const at = (generation: number, revision: number) => ({ generation, revision });
  const keep = (generation: number, revision: number) =>
    node.handlers['record.keep'](
      { kind: 'volume', record: { id: 'vol-1', generation, revision } as VolumeRecord },
      context,
    );
  const lvols = () => [...node.target.lvols.values()].map(({ name }) => name).toSorted();

  test('is not deleted: in a store that was set back, it may be the newest replica', async () => {
    await create('rep-a');
    await snap('rep-a', 's1');
    await keep(1, 15);
    const before = lvols();
    const remove = (record?: RecordPosition) =>
      node.handlers['replica.delete'](
        { replica: 'rep-a', volume: 'vol-1', ...(record === undefined ? {} : { record }) },
        newContext(),
      );
    for (const older of [at(1, 14), at(0, 99)])
      await expect(remove(older)).rejects.toMatchObject({
        code: 'RECORD_STALE',
        message: expect.stringContaining('keeps record 1.15') as unknown,
      });
    expect(lvols()).toEqual(before);
    await remove(at(1, 15));
    expect(lvols()).toEqual([]);
  });

  test('goes by a newer record, of which a recovery begins each one, and with its volume', async () => {
    for (const record of [at(1, 16), at(2, 1), undefined]) {
      await create('rep-a');
      await keep(1, 15);
      const input = { replica: 'rep-a', volume: 'vol-1' };
      await node.handlers['replica.delete'](
        record === undefined ? input : { ...input, record },
        newContext(),
      );
      expect(lvols()).toEqual([]);
      expect(node.journal.recordPosition('volume', 'vol-1')).toBeUndefined();
    }
  });

  test('keeps the head of its rebuild too', async () => {
    await create('rep-a');
    await keep(0, 15);
    const discard = (record: RecordPosition) =>
      node.handlers['rebuild.discard-head'](
        { replica: 'rep-a', volume: 'vol-1', record },
        newContext(),
      );
    await expect(discard(at(0, 14))).rejects.toMatchObject({ code: 'RECORD_STALE' });
    await discard(at(0, 15));
  });
});

describe('deleting a replica (S0)', () => {
  test('touches nothing of another replica on the same disk', async () => {
    // Names of which one is the beginning of the other, as a match by pattern would confuse them.
    await create('rep-a');
    await create('rep-a-b', 'vol-2');
    for (const replica of ['rep-a', 'rep-a-b']) {
      await snap(replica, 's1');
      await snap(replica, 's2');
      await exportTo(replica, ['nqn.2026-11.io.lariat:host']);
    }
    const foreign = new Set(
      [...node.target.lvols.values()]
        .filter(({ name }) => name.startsWith('rep-a-b'))
        .map(({ uuid }) => uuid),
    );
    const before = [...node.target.lvols.values()].filter(({ uuid }) => foreign.has(uuid));
    node.target.calls.length = 0;
    await remove('rep-a');
    expect([...node.target.lvols.values()]).toEqual(before);
    expect([...node.target.subsystems.keys()]).toEqual([replicaNqn('rep-a-b')]);
    for (const { params } of node.target.calls) {
      for (const value of Object.values(params)) {
        expect(foreign.has(String(value))).toBe(false);
        expect(value).not.toBe(replicaNqn('rep-a-b'));
      }
    }
    expect(node.journal.ownedBy('rep-a')).toEqual([]);
    expect(node.journal.ownedBy('rep-a-b')).toHaveLength(4);
  });

  test('leaves lvols alone that no record names, whatever they are called', async () => {
    await create('rep-a');
    const stranger = await node.target.spdk().lvol.create({
      store: { lvsName: 'disk-1' },
      lvolName: 'rep-a.junk',
      sizeMib: 1,
    });
    await remove('rep-a');
    expect([...node.target.lvols.keys()]).toEqual([stranger]);
  });

  test('stops at a snapshot that somebody else has a clone of', async () => {
    await create('rep-a');
    const { lvolUuid } = await snap('rep-a', 's1');
    await node.target.spdk().lvol.clone(lvolUuid, 'linked-clone');
    await expect(remove('rep-a')).rejects.toMatchObject({ code: 'SNAPSHOT_IN_USE' });
    expect(node.target.lvols.has(lvolUuid)).toBe(true);
  });

  test('refuses a thing with our name and another uuid', async () => {
    const { lvolUuid } = await create('rep-a');
    await node.target.spdk().lvol.delete(lvolUuid);
    const other = await node.target.spdk().lvol.create({
      store: { lvsName: 'disk-1' },
      lvolName: 'rep-a',
      sizeMib: 1,
    });
    await expect(remove('rep-a')).rejects.toMatchObject({ code: 'NOT_OWNED' });
    expect(node.target.lvols.has(other)).toBe(true);
  });

  test('says unknown, not gone, while the disk is not loaded', async () => {
    await create('rep-a');
    node.target.stores.delete('disk-1');
    await expect(remove('rep-a')).rejects.toMatchObject({ code: 'DISK_LOST' });
    expect(node.journal.ownedBy('rep-a')).toHaveLength(1);
  });

  test('can be done again after it was cut off anywhere', async () => {
    for (let cut = 1; cut <= 4; cut += 1) {
      await create(`rep-${cut}`);
      await snap(`rep-${cut}`, 's1');
      await exportTo(`rep-${cut}`, ['nqn.2026-11.io.lariat:host']);
      cutAfterChange(cut);
      await remove(`rep-${cut}`).catch(() => undefined);
      heal();
      await remove(`rep-${cut}`);
      expect(node.target.lvols.size).toBe(0);
      expect(node.target.subsystems.size).toBe(0);
      expect(node.journal.ownedBy(`rep-${cut}`)).toEqual([]);
    }
  });
});

/** The connection is lost after the nth change from now: it has happened, and nobody learns so. */
function cutAfterChange(nth: number): void {
  let left = nth;
  node.target.after = (method) => {
    if (/_get_/.test(method)) return;
    left -= 1;
    if (left <= 0) throw connectionLost();
  };
}
function heal(): void {
  node.target.after = () => undefined;
}

describe('making a replica', () => {
  test('adopts what an interrupted try has made', async () => {
    cutAfterChange(1);
    await expect(create('rep-a')).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
    heal();
    const { lvolUuid } = await create('rep-a');
    expect([...node.target.lvols.keys()]).toEqual([lvolUuid]);
  });

  test('refuses an lvol of that name that is not on record', async () => {
    await node.target.spdk().lvol.create({
      store: { lvsName: 'disk-1' },
      lvolName: 'rep-a',
      sizeMib: 1,
    });
    await expect(create('rep-a')).rejects.toMatchObject({ code: 'NOT_OWNED' });
  });

  test('never makes an empty lvol where a made one has gone', async () => {
    const { lvolUuid } = await create('rep-a');
    node.target.lvols.delete(lvolUuid);
    await expect(create('rep-a')).rejects.toMatchObject({ code: 'REPLICA_NOT_FOUND' });
    expect(node.target.lvols.size).toBe(0);
  });
});

describe('exporting a replica', () => {
  test('admits exactly the hosts given, and cuts off those before', async () => {
    await create('rep-a');
    await exportTo('rep-a', ['nqn.old', 'nqn.both']);
    node.target.calls.length = 0;
    await exportTo('rep-a', ['nqn.both', 'nqn.new']);
    expect([...(node.target.subsystems.get(replicaNqn('rep-a'))?.hosts ?? [])]).toEqual([
      'nqn.both',
      'nqn.new',
    ]);
    expect(node.target.changes()).toEqual([
      'nvmf_subsystem_remove_host',
      'nvmf_subsystem_add_host',
    ]);
  });

  test('lets a host in only when the namespace is there', async () => {
    await create('rep-a');
    node.target.calls.length = 0;
    await exportTo('rep-a', ['nqn.host']);
    const order = node.target.changes();
    expect(order.indexOf('nvmf_subsystem_add_ns')).toBeLessThan(
      order.indexOf('nvmf_subsystem_add_host'),
    );
  });
});

describe('reverting a replica', () => {
  test('is finished by a repetition, wherever it was cut off', async () => {
    for (let cut = 1; cut <= 3; cut += 1) {
      const replica = `rep-${cut}`;
      const { lvolUuid: old } = await create(replica);
      const { lvolUuid: parent } = await snap(replica, 's1');
      cutAfterChange(cut);
      await expect(revert(replica, 's1')).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
      heal();
      const { lvolUuid } = await revert(replica, 's1');
      expect(lvolUuid).not.toBe(old);
      expect(node.target.lvols.has(old)).toBe(false);
      expect(node.target.lvols.get(lvolUuid)).toMatchObject({ name: replica, parent });
      expect(node.lvols.recordOf(replica, 'head')).toMatchObject({
        uuid: lvolUuid,
        params: { revertTo: null },
      });
    }
  });

  test('is made anew by another operation, wherever the one before was given up', async () => {
    for (let cut = 1; cut <= 3; cut += 1) {
      const replica = `rep-${cut}`;
      await create(replica);
      const { lvolUuid: older } = await snap(replica, 's1');
      await snap(replica, 's2');
      cutAfterChange(cut);
      await revert(replica, 's2').catch(() => undefined);
      heal();
      const { lvolUuid } = await node.handlers['replica.revert'](
        { replica, volume: 'vol-1', snapshot: 's1', sizeBytes: 8 * MIB },
        { ...newContext(), operation: 'op-2' },
      );
      expect(node.target.lvols.get(lvolUuid)).toMatchObject({ name: replica, parent: older });
      expect(node.lvols.recordOf(replica, 'head')).toMatchObject({
        ...{ uuid: lvolUuid, operation: 'op-2', params: { revertTo: null } },
      });
    }
  });

  test('half done, the replica can still be deleted', async () => {
    await create('rep-a');
    await snap('rep-a', 's1');
    cutAfterChange(2);
    await revert('rep-a', 's1').catch(() => undefined);
    heal();
    await remove('rep-a');
    expect(node.target.lvols.size).toBe(0);
  });

  test('is refused while the replica is exported', async () => {
    await create('rep-a');
    await snap('rep-a', 's1');
    await exportTo('rep-a', ['nqn.host']);
    await expect(revert('rep-a', 's1')).rejects.toMatchObject({ code: 'VOLUME_BUSY' });
  });
});

describe('growing a replica', () => {
  const resize = (sizeMib: number, operation: string, undo?: boolean) =>
    node.handlers['replica.resize'](
      {
        replica: 'rep-a',
        volume: 'vol-1',
        sizeBytes: sizeMib * MIB,
        ...(undo === undefined ? {} : { undo }),
      },
      { ...context, operation },
    );
  const sizeMib = (): number => {
    const head = node.lvols.recordOf('rep-a', 'head');
    return (head?.params.sizeBytes ?? 0) / MIB;
  };
  const resizes = (): readonly unknown[] =>
    node.target.calls
      .filter(({ method }) => method === 'bdev_lvol_resize')
      .map(({ params }) => params['size_in_mib']);

  test('is taken back by the operation that grew it, also when its answer was lost', async () => {
    await create('rep-a');
    await resize(16, 'op-1');
    await resize(16, 'op-1');
    expect(sizeMib()).toBe(16);
    await resize(8, 'op-1', true);
    expect(sizeMib()).toBe(8);
    cutAfterChange(1);
    await expect(resize(16, 'op-2')).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
    heal();
    await resize(8, 'op-2', true);
    await resize(8, 'op-2', true);
    expect(sizeMib()).toBe(8);
    expect(resizes()).toEqual([16, 16, 8, 16, 8]);
  });

  test('that failed as the replica is gone, or was never there, is nothing to take back', async () => {
    await expect(resize(8, 'op-1', true)).resolves.toEqual({});
    const { lvolUuid } = await create('rep-a');
    await resize(16, 'op-1');
    node.target.lvols.delete(lvolUuid);
    await expect(resize(16, 'op-1')).rejects.toMatchObject({ code: 'REPLICA_NOT_FOUND' });
    await expect(resize(8, 'op-1', true)).resolves.toEqual({});
  });

  test('is not taken back by anybody else, nor late, nor while the replica is in use', async () => {
    await create('rep-a');
    await resize(16, 'op-1');
    await resize(8, 'op-0', true);
    expect(sizeMib()).toBe(16);
    await exportTo('rep-a', ['nqn.host']);
    await expect(resize(8, 'op-1', true)).rejects.toMatchObject({ code: 'VOLUME_BUSY' });
    await resize(32, 'op-2');
    await resize(8, 'op-1', true);
    expect(sizeMib()).toBe(32);
    expect(resizes()).toEqual([16, 32]);
    await expect(resize(8, 'op-3')).rejects.toMatchObject({ code: 'VOLUME_SHRINK' });
  });
});

describe('a clone on the disk of its source', () => {
  const clone = (replica: string, sizeBytes = 8 * MIB) =>
    node.handlers['replica.clone'](
      {
        replica,
        volume: `vol-of-${replica}`,
        disk: 'disk-1',
        sizeBytes,
        source: { replica: 'rep-a', snapshot: 's1' },
      },
      context,
    );
  const lvolNamed = (name: string) =>
    [...node.target.lvols.values()].find((lvol) => lvol.name === name);
  const deleteReplica = (replica: string) =>
    node.handlers['replica.delete']({ replica, volume: `vol-of-${replica}` }, context);

  beforeEach(async () => {
    await create('rep-a');
    await snap('rep-a', 's0');
    await snap('rep-a', 's1');
  });

  test('stands on the snapshot, is its own, and may be larger', async () => {
    const { lvolUuid } = await clone('rep-c', 20 * MIB);
    expect(await clone('rep-c', 20 * MIB)).toEqual({ lvolUuid });
    expect(lvolNamed('rep-c')).toMatchObject({
      parent: lvolNamed('rep-a.s1')?.uuid,
      sizeMib: 20,
    });
    expect(node.journal.ownedBy('rep-c')).toHaveLength(1);
    await deleteReplica('rep-c');
    expect(node.journal.ownedBy('rep-a')).toHaveLength(3);
    expect(node.target.lvols.size).toBe(3);
  });

  test('of a snapshot that is not there is refused', async () => {
    await remove('rep-a');
    await expect(clone('rep-c')).rejects.toMatchObject({ code: 'REPLICA_NOT_FOUND' });
    expect(node.journal.ownedBy('rep-c')).toEqual([]);
  });

  test('gets what it shares when its source goes', async () => {
    await clone('rep-c');
    await remove('rep-a');
    expect([...node.target.lvols.values()].map(({ name }) => name)).toEqual(['rep-c']);
    expect(node.journal.ownedBy('rep-a')).toEqual([]);
    await deleteReplica('rep-c');
    expect(node.target.lvols.size).toBe(0);
  });

  test.each([
    ['rep-c', 'rep-d', 'rep-e'],
    ['rep-e', 'rep-d', 'rep-c'],
    ['rep-d', 'rep-c', 'rep-e'],
  ])('keeps what several share until the last has gone: %s, %s, %s', async (...order) => {
    for (const replica of order.toSorted()) await clone(replica);
    await remove('rep-a');
    expect(node.journal.ownedBy('rep-a')).toEqual([]);
    for (const [gone, replica] of order.entries()) {
      for (const left of order.slice(gone)) {
        const { parent = 'none' } = lvolNamed(left) ?? {};
        // It has all of its clusters to itself, or what it stands on is there.
        expect(parent === null || node.target.lvols.has(parent)).toBe(true);
      }
      // What is told twice is done once.
      await remove('rep-a');
      await deleteReplica(replica);
      expect(node.journal.ownedBy(replica)).toEqual([]);
    }
    expect(node.target.lvols.size).toBe(0);
    expect(node.journal.ownedOfKind('lvol')).toEqual([]);
  });

  test('brings the layers of its source along when its own snapshots are copied', async () => {
    await clone('rep-c');
    const input = { replica: 'rep-c', volume: 'vol-of-rep-c' };
    await node.handlers['snapshot.create']({ ...input, snapshot: 'c1' }, context);
    await node.handlers['snapshot.create']({ ...input, snapshot: 'c2' }, context);
    const layers = async (snapshot: string, parent: string | null) => {
      const uuids = await node.lvols.layersOf(await node.lvols.snapshot('rep-c', snapshot), parent);
      return uuids.map((uuid) => node.target.lvols.get(uuid)?.name);
    };
    expect(await layers('c1', null)).toEqual(['rep-a.s0', 'rep-a.s1', 'rep-c.c1']);
    expect(await layers('c2', 'c1')).toEqual(['rep-c.c2']);
    await remove('rep-a');
    expect(await layers('c1', null)).toEqual(['rep-c.c1']);
    // One that the volume's record does not have, as its making was undone while this node was away.
    await node.handlers['snapshot.create']({ ...input, snapshot: 'stray' }, context);
    await node.handlers['snapshot.create']({ ...input, snapshot: 'c3' }, context);
    expect(await layers('c3', 'c2')).toEqual(['rep-c.stray', 'rep-c.c3']);
    // Nor may a parent that is not found cost anything.
    expect(await layers('c3', 'gone')).toEqual(['rep-c.c1', 'rep-c.c2', 'rep-c.stray', 'rep-c.c3']);
  });
});

describe('a scratch that becomes a head', () => {
  const adopt = () =>
    node.handlers['replica.adopt-scratch'](
      { replica: 'rep-x', volume: 'vol-1', sizeBytes: 16 * MIB },
      context,
    );
  beforeEach(async () => {
    const hostNqn = 'nqn.2026-11.io.lariat:host';
    await node.handlers['rebuild.create-scratch'](
      {
        replica: 'rep-x',
        volume: 'vol-1',
        disk: 'disk-1',
        sizeBytes: 8 * MIB,
        parent: null,
        hostNqn,
      },
      context,
    );
  });

  test('keeps its content, has a new name and size, and no export', async () => {
    const before = node.lvols.recordOf('rep-x', 'scratch')?.uuid;
    const { lvolUuid } = await adopt();
    expect(lvolUuid).toBe(before);
    expect([...node.target.lvols.values()]).toMatchObject([{ name: 'rep-x', sizeMib: 16 }]);
    expect(node.target.subsystems.size).toBe(0);
    expect(node.journal.ownedBy('rep-x')).toMatchObject([{ params: { role: 'head' } }]);
    expect(await adopt()).toEqual({ lvolUuid });
  });

  test.each(['before', 'after'] as const)('is found when the answer is lost (%s)', async (when) => {
    let lost = 0;
    node.target[when] = (method) => {
      if (method !== 'bdev_lvol_rename' || lost > 0) return;
      lost += 1;
      throw connectionLost();
    };
    await expect(adopt()).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
    await adopt();
    expect(node.journal.ownedBy('rep-x')).toMatchObject([{ params: { role: 'head' } }]);
    await remove('rep-x');
    expect(node.target.lvols.size).toBe(0);
  });

  test.each(['before', 'after'] as const)('goes with its replica half way (%s)', async (when) => {
    node.target[when] = (method) => {
      if (method === 'bdev_lvol_rename') throw connectionLost();
    };
    await expect(adopt()).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
    await remove('rep-x');
    expect(node.target.lvols.size).toBe(0);
    expect(node.journal.ownedBy('rep-x')).toEqual([]);
  });
});

test('a node that was installed anew takes up what it has of a replica: head, snapshots and scratch', async () => {
  const { journal, handlers, target } = node;
  const of = { replica: 'rep-1', volume: 'vol-1' };
  const adopt = () => handlers['replica.adopt']({ ...of, disk: 'disk-1' }, context);
  await expect(adopt()).rejects.toMatchObject({ code: 'REPLICA_NOT_FOUND' });
  await handlers['replica.create']({ ...of, disk: 'disk-1', sizeBytes: 8 * MIB }, context);
  await handlers['snapshot.create']({ ...of, snapshot: 'snap-1' }, context);
  const { lvol } = target.spdk();
  const store = { lvsName: 'disk-1' };
  await lvol.create({ store, lvolName: 'rep-1.scratch', sizeMib: 4 });
  await lvol.create({ store, lvolName: 'rep-10', sizeMib: 4 });
  const before = journal.ownedOfKind('lvol');
  for (const { name } of before) await journal.dropOwned('lvol', name);
  const changes = target.changes().length;
  for (let delivery = 1; delivery <= 2; delivery += 1)
    expect(await adopt()).toEqual({ lvolUuid: before.find(isHead)?.uuid });
  expect(target.changes()).toHaveLength(changes);
  const after = journal.ownedOfKind('lvol');
  expect(after).toHaveLength(3);
  expect(after).toEqual(
    expect.arrayContaining(before.map((one) => expect.objectContaining({ ...one }) as unknown)),
  );
  expect(after.map(({ params }) => params.role).toSorted()).toEqual([
    'head',
    'scratch',
    'snapshot',
  ]);
  await handlers['replica.delete'](of, context);
  expect([...target.lvols.values()].map(({ name }) => name)).toEqual(['rep-10']);
});

const isHead = ({ params }: { readonly params: { readonly role: string } }): boolean =>
  params.role === 'head';
