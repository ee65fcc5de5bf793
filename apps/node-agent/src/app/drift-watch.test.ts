import 'reflect-metadata';
import { ReconcileCounts } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  context,
  driftWatch,
  exportedReplica,
  fixture,
  tempDir,
  type Fixture,
} from '../testing/fixture.js';
import type { DriftWatch } from './drift-watch.js';
import { replicasOf } from './presence.js';

let dir: ReturnType<typeof tempDir>;
let node: Fixture;
let counts: ReconcileCounts;
let watch: DriftWatch;
let nqn: string;
let lost: string | undefined;

beforeEach(async () => {
  dir = tempDir();
  node = await fixture(dir.path);
  counts = new ReconcileCounts();
  lost = undefined;
  watch = driftWatch(node, { lost: () => lost, counts });
  nqn = await exportedReplica(node);
});
afterEach(async () => {
  await node.journal.close();
  dir.remove();
});

/** A round, with all that it began; the target's calls that changed something. */
async function round(): Promise<readonly string[]> {
  const { length } = node.target.changes();
  await watch.look();
  await node.queue.idle();
  return node.target.changes().slice(length);
}

test('what is on a disk that is lost is not put back, and not told as deleted: it comes back with its disk', async () => {
  const head = node.journal.ownedOfKind('lvol')[0]?.uuid ?? '';
  node.target.subsystems.clear();
  node.target.lvols.clear();
  lost = 'its disk is lost';
  expect(await round()).toEqual([]);
  expect(watch.absent(head)).toBeUndefined();
  lost = undefined;
  await round();
  expect(watch.absent(head)).toBeDefined();
});

test('nothing is sent to a target that has what the records say', async () => {
  for (let looks = 1; looks <= 3; looks += 1) {
    expect(await round()).toEqual([]);
    expect(counts.view()).toMatchObject({
      exports: { looks, repairs: 0 },
      heads: { looks, repairs: 0 },
    });
  }
});

test.each([
  ['has lost its listener', (): unknown => Object.assign(exported(), { listens: false })],
  ['has lost its namespace', (): unknown => Object.assign(exported(), { namespace: undefined })],
  ['is gone', (): unknown => node.target.subsystems.delete(nqn)],
  ['admits somebody else', (): unknown => exported().hosts.add('nqn.stranger')],
  ['admits nobody', (): unknown => exported().hosts.clear()],
  ['admits everybody', (): unknown => Object.assign(exported(), { anyHost: true })],
])('an export that %s is put back once', async (_what, change) => {
  change();
  expect((await round()).length).toBeGreaterThan(0);
  expect(exported()).toMatchObject({ listens: true, anyHost: false });
  expect([...exported().hosts]).toEqual(['nqn.host']);
  expect(await round()).toEqual([]);
  expect(counts.view()).toMatchObject({ exports: { repairs: 1 } });
});

test('an export of which no record tells is left alone', async () => {
  const nqnOfOthers = 'nqn.others';
  node.target.subsystems.set(nqnOfOthers, { ...exported(), nqn: nqnOfOthers });
  expect(await round()).toEqual([]);
});

test('an export that a command has taken away meanwhile does not come back', async () => {
  node.target.subsystems.delete(nqn);
  const command = node.queue.run('replica/rep-1', () => node.journal.dropOwned('subsystem', nqn));
  expect(await round()).toEqual([]);
  await command;
  expect(node.target.subsystems.size).toBe(0);
});

test('an export that a command of another lane is taking away does not come back', async () => {
  let rounds = 0;
  let round: Promise<unknown> | undefined;
  node.target.after = (method) => {
    // Gone from the target, and still on record: the command has not ended.
    if (method !== 'nvmf_delete_subsystem') return;
    rounds += 1;
    round = watch.look();
  };
  await node.queue.run('volume/vol-1', () => node.exports.remove(nqn));
  await round;
  await node.queue.idle();
  expect(rounds).toBe(1);
  expect(node.target.subsystems.size).toBe(0);
});

test('a head that is gone from its disk is told, until its replica is', async () => {
  const head = node.journal.ownedOfKind('lvol')[0];
  node.target.subsystems.clear();
  await node.journal.dropOwned('subsystem', nqn);
  node.target.lvols.delete(head?.uuid ?? '');
  for (let look = 0; look < 2; look += 1) expect(await round()).toEqual([]);
  expect(told()).toEqual([expect.stringContaining('not on its disk')]);
  expect(counts.view()).toMatchObject({ heads: { repairs: 1 } });
  await node.handlers['replica.delete']({ replica: 'rep-1', volume: 'vol-1' }, context);
  expect(told()).toEqual([]);
});

test('a head that is back, or another one in its place, is told no more', async () => {
  const head = node.journal.ownedOfKind('lvol')[0];
  const lvol = node.target.lvols.get(head?.uuid ?? '');
  if (head === undefined || lvol === undefined) throw new Error('the replica has a head');
  const lose = async (): Promise<void> => {
    node.target.lvols.delete(lvol.uuid);
    await round();
    expect(told()).toHaveLength(1);
  };
  await lose();
  node.target.lvols.set(lvol.uuid, lvol);
  await round();
  expect(told()).toEqual([undefined]);
  await lose();
  await node.journal.putOwned({ ...head, uuid: 'another' });
  expect(told()).toEqual([undefined]);
});

test('a disk that is not loaded, or a target that does not answer, says nothing of a head', async () => {
  const head = node.journal.ownedOfKind('lvol')[0];
  node.target.lvols.delete(head?.uuid ?? '');
  node.target.stores.clear();
  await round();
  expect(told()).toEqual([undefined]);
  node.target.before = () => {
    throw new Error('no answer');
  };
  await expect(watch.look()).rejects.toThrow('no answer');
  expect(told()).toEqual([undefined]);
});

/** Of each replica, what the inventory says of its head. */
const told = () =>
  replicasOf(node.journal, (uuid) => watch.absent(uuid)).map(({ absent }) => absent);

function exported() {
  const subsystem = node.target.subsystems.get(nqn);
  if (subsystem === undefined) throw new Error('it is not exported');
  return subsystem;
}
