import 'reflect-metadata';
import { nodeHostNqn, snapshotNqn } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { context, fixture, tempDir, type Fixture } from '../testing/fixture.js';

const of = { replica: 'rep-a', volume: 'vol-1', snapshot: 's1' };
const NQN = snapshotNqn('rep-a', 's1');
const REBUILD = nodeHostNqn('n2');
const [READER, OTHER] = ['nqn.reader', 'nqn.other'];

let dir: ReturnType<typeof tempDir>;
let node: Fixture;
beforeEach(async () => {
  dir = tempDir();
  node = await fixture(dir.path);
  const replica = { replica: 'rep-a', volume: 'vol-1' };
  await node.handlers['replica.create'](
    { ...replica, disk: 'disk-1', sizeBytes: 4 * MIB },
    context,
  );
  await node.handlers['snapshot.create'](of, context);
});
afterEach(async () => {
  await node.journal.close();
  dir.remove();
});

const admit = (hostNqn: string) => node.handlers['snapshot.export']({ ...of, hostNqn }, context);
const dismiss = (hostNqn: string) =>
  node.handlers['snapshot.unexport']({ ...of, hostNqn }, context);
const rebuild = (hostNqn = REBUILD) =>
  node.handlers['rebuild.export-snapshot']({ ...of, hostNqn }, context);
const endRebuild = () => node.handlers['rebuild.unexport-snapshot'](of, context);
const remove = () => node.handlers['snapshot.delete'](of, context);
const hosts = (): readonly string[] | undefined =>
  [...(node.target.subsystems.get(NQN)?.hosts ?? [])].toSorted();

describe('the export of a snapshot', () => {
  test('is for all who read it, and goes with the last of them', async () => {
    const endpoint = await admit(READER);
    expect(endpoint).toMatchObject({
      nqn: NQN,
      uuid: node.lvols.recordOf('rep-a', 'snapshot', 's1')?.uuid,
    });
    expect(endpoint.allocatedBytes).toBeGreaterThanOrEqual(0);
    expect(await admit(OTHER)).toEqual(endpoint);
    await admit(READER);
    expect(hosts()).toEqual([OTHER, READER]);
    await dismiss(READER);
    expect(hosts()).toEqual([OTHER]);
    await dismiss(READER);
    await dismiss(OTHER);
    expect(node.target.subsystems.size).toBe(0);
    expect(node.journal.ownedOfKind('subsystem')).toEqual([]);
    await dismiss(OTHER);
  });

  test('outlives a rebuild for those who read on, and its readers for a rebuild', async () => {
    await rebuild();
    await admit(READER);
    // Another destination takes the place of the one before.
    await rebuild(nodeHostNqn('n3'));
    expect(hosts()).toEqual([nodeHostNqn('n3'), READER]);
    await endRebuild();
    expect(hosts()).toEqual([READER]);
    await rebuild();
    await dismiss(READER);
    expect(hosts()).toEqual([REBUILD]);
    await endRebuild();
    expect(node.target.subsystems.size).toBe(0);
  });

  test('goes also where this node itself has read through it beside', async () => {
    await admit(READER);
    await node.exports.revise(NQN, (known) => {
      if (known === undefined || known.uuid === null) return undefined;
      const params = { ...known.params, hosts: [...known.params.hosts, nodeHostNqn('n1')] };
      return { ...known, uuid: known.uuid, params };
    });
    await dismiss(READER);
    expect(node.target.subsystems.size).toBe(0);
  });

  test('keeps the snapshot for a rebuild, and goes with it where only a reader is left over', async () => {
    await rebuild();
    await admit(READER);
    await expect(remove()).rejects.toMatchObject({ code: 'SNAPSHOT_IN_USE' });
    expect(hosts()).toEqual([REBUILD, READER]);
    await endRebuild();
    await remove();
    expect(node.target.subsystems.size).toBe(0);
    expect(node.lvols.recordOf('rep-a', 'snapshot', 's1')).toBeUndefined();
  });

  test('is refused where the snapshot is not there', async () => {
    await expect(
      node.handlers['snapshot.export']({ ...of, snapshot: 's2', hostNqn: READER }, context),
    ).rejects.toMatchObject({ code: 'REPLICA_NOT_FOUND' });
    expect(node.target.subsystems.size).toBe(0);
  });
});
