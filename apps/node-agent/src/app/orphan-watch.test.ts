import 'reflect-metadata';
import { replicaNqn } from '@lariat/contracts';
import { ReconcileCounts, systemClock } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { context, fixture, tempDir, type Fixture } from '../testing/fixture.js';
import { queueKey } from '../domain/command-rules.js';
import { orphanCommands } from './orphan.commands.js';
import { OrphanWatch } from './orphan-watch.js';

const MIB = 1024 * 1024;
const REPLICA = 'rep-000000000000';
const ORPHAN = 'rep-111111111111';
let dir: ReturnType<typeof tempDir>;
let node: Fixture;
let watch: OrphanWatch;
let handlers: ReturnType<typeof orphanCommands>;

beforeEach(async () => {
  dir = tempDir();
  node = await fixture(dir.path);
  watch = new OrphanWatch({ ...node, clock: systemClock, counts: new ReconcileCounts() });
  handlers = orphanCommands({ ...node, deleteReplica: node.handlers['replica.delete'] });
  const of = { replica: REPLICA, volume: 'vol-1' };
  await node.handlers['replica.create']({ ...of, disk: 'disk-1', sizeBytes: 8 * MIB }, context);
  await node.handlers['replica.export']({ ...of, epoch: 1, hostNqns: ['nqn.host'] }, context);
});
afterEach(async () => {
  await node.journal.close();
  dir.remove();
});

const lvols = () => node.target.spdk().lvol;
const newLvol = (lvolName: string, lvsName = 'disk-1'): Promise<string> =>
  lvols().create({ store: { lvsName }, lvolName, sizeMib: 4 });

async function told(looks = 2) {
  for (let look = 0; look < looks; look += 1) await watch.look();
  return watch.sight?.things;
}

const remove = (kind: 'lvol' | 'subsystem' | 'store' | 'replica', name: string, uuid: string) =>
  handlers['orphan.delete']({ kind, name, uuid, volume: null }, context);

describe('what has no owner', () => {
  test('nothing is told of what the records name', async () => {
    expect(await told()).toEqual([]);
    expect(watch.sight?.disks).toEqual(['disk-1']);
  });

  test('an lvol is told with its size once two looks have seen it, and from then on as one thing', async () => {
    const uuid = await newLvol(ORPHAN);
    expect(await told(1)).toBeUndefined();
    const [thing, ...more] = (await told(1)) ?? [];
    expect(more).toEqual([]);
    expect(thing).toMatchObject({
      ...{ kind: 'lvol', name: `disk-1/${ORPHAN}`, uuid, disk: 'disk-1', sizeBytes: 4 * MIB },
    });
    expect(await told(3)).toEqual([thing]);
  });

  test('one that a record comes to name is told no more', async () => {
    const uuid = await newLvol(ORPHAN);
    expect(await told()).toHaveLength(1);
    const [head] = node.journal.ownedOfKind('lvol');
    if (head === undefined) throw new Error('the replica has a head');
    await node.journal.putOwned({ ...head, name: `disk-1/${ORPHAN}`, uuid });
    // At once: whoever hears of its owner must not hear that it has none.
    expect(watch.sight?.things).toEqual([]);
    expect(await told(1)).toEqual([]);
  });

  test('what is foreign is not told: stores, NQNs and connections of others', async () => {
    node.target.stores.add('theirs');
    await newLvol('vm-disk', 'theirs');
    const { target } = node;
    target.subsystems.set('nqn.others', {
      ...{ nqn: 'nqn.others', anyHost: true, hosts: new Set<string>(), listens: true },
      namespace: undefined,
    });
    target.controllers.set('theirs', {
      ...{ subnqn: 'nqn.others', hostnqn: 'h', traddr: '1', trsvcid: '1', state: 'enabled' },
      uuid: 'u',
    });
    expect(await told()).toEqual([]);
  });

  test('exports, connections and raids of ours that no record names are told', async () => {
    const uuid = await newLvol(ORPHAN);
    const nqn = replicaNqn(ORPHAN);
    const { target } = node;
    target.subsystems.set(nqn, {
      ...{ nqn, anyHost: false, hosts: new Set<string>(), listens: true },
      namespace: { bdev: uuid, uuid },
    });
    target.controllers.set('leg', {
      ...{ subnqn: replicaNqn('rep-2'), hostnqn: 'h', traddr: '1', trsvcid: '1' },
      ...{ state: 'enabled', uuid: 'leg-uuid' },
    });
    target.raids.set('vol-2', { uuid: 'raid-uuid', bases: [uuid, 'legn1'] });
    const things = (await told()) ?? [];
    expect(things.map(({ kind, name, uuid: of }) => [kind, name, of])).toEqual([
      ['lvol', `disk-1/${ORPHAN}`, uuid],
      ['subsystem', nqn, uuid],
      ['controller', 'leg', 'leg-uuid'],
      ['raid', 'vol-2', 'raid-uuid'],
    ]);
  });

  test('a target that does not answer says nothing', async () => {
    await newLvol(ORPHAN);
    expect(await told()).toHaveLength(1);
    node.target.before = () => {
      throw new Error('no answer');
    };
    await expect(watch.look()).rejects.toThrow('no answer');
    expect(watch.sight).toBeUndefined();
    // And the first one that it answers again is not two.
    node.target.before = () => undefined;
    expect(await told(1)).toBeUndefined();
    expect(await told(1)).toHaveLength(1);
  });
});

describe('orphan.delete', () => {
  test('deletes the thing of that uuid, and again finds nothing', async () => {
    const uuid = await newLvol(ORPHAN);
    expect(await remove('lvol', `disk-1/${ORPHAN}`, uuid)).toEqual({ outcome: 'deleted' });
    expect(node.target.lvols.has(uuid)).toBe(false);
    expect(await remove('lvol', `disk-1/${ORPHAN}`, uuid)).toEqual({ outcome: 'absent' });
  });

  test('leaves one that a record names by now, and one that is another', async () => {
    const [head] = node.journal.ownedOfKind('lvol');
    const name = `disk-1/${REPLICA}`;
    expect(await remove('lvol', name, head?.uuid ?? '')).toEqual({ outcome: 'owned' });
    const uuid = await newLvol(ORPHAN);
    const other = await remove('lvol', `disk-1/${ORPHAN}`, 'another-uuid');
    expect(other).toEqual({ outcome: 'changed' });
    expect([...node.target.lvols.keys()]).toEqual([head?.uuid, uuid]);
  });

  test('never reaches what is foreign, whatever is asked', async () => {
    node.target.stores.add('theirs');
    const uuid = await newLvol(ORPHAN, 'theirs');
    expect(await remove('lvol', `theirs/${ORPHAN}`, uuid)).toEqual({ outcome: 'absent' });
    expect(node.target.lvols.has(uuid)).toBe(true);
    await expect(remove('store', 'theirs', 'u')).rejects.toMatchObject({
      code: 'ORPHAN_NOT_DELETABLE',
    });
  });

  test('refuses an lvol that others stand on', async () => {
    const uuid = await newLvol(ORPHAN);
    const snapshot = await lvols().snapshot(uuid, `${ORPHAN}.snap`);
    await expect(remove('lvol', `disk-1/${ORPHAN}.snap`, snapshot)).rejects.toMatchObject({
      code: 'ORPHAN_IN_USE',
      message: expect.stringContaining(ORPHAN),
    });
    await remove('lvol', `disk-1/${ORPHAN}`, uuid);
    const after = await remove('lvol', `disk-1/${ORPHAN}.snap`, snapshot);
    expect(after).toEqual({ outcome: 'deleted' });
  });

  test('of a replica on record takes all that belongs to it, if its head is the one that was looked at', async () => {
    const [head] = node.journal.ownedOfKind('lvol');
    expect(await remove('replica', REPLICA, 'another')).toEqual({ outcome: 'changed' });
    expect(await remove('replica', REPLICA, head?.uuid ?? '')).toEqual({ outcome: 'deleted' });
    expect(node.target.lvols.size + node.target.subsystems.size).toBe(0);
    expect(await remove('replica', REPLICA, head?.uuid ?? '')).toEqual({ outcome: 'absent' });
  });

  test('waits its turn behind the commands on the replica whose name the lvol has', () => {
    const create = queueKey('replica.create', { replica: ORPHAN });
    for (const lvolName of [ORPHAN, `${ORPHAN}.snap-1`, `${ORPHAN}.scratch`])
      expect(queueKey('orphan.delete', { kind: 'lvol', name: `disk-1/${lvolName}` })).toBe(create);
    expect(queueKey('orphan.delete', { kind: 'replica', name: ORPHAN })).toBe(create);
  });
});
