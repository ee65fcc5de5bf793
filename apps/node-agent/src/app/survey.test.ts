import 'reflect-metadata';
import type { VolumeRecord } from '@lariat/contracts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connectionLost } from '../testing/fake-target.js';
import { context, fixture, tempDir, type Fixture } from '../testing/fixture.js';

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

const survey = (after: string | null = null) => node.handlers['record.survey']({ after }, context);
const keep = (id: string, revision = 1, labels: Record<string, string> = {}) =>
  node.handlers['record.keep'](
    { kind: 'volume', record: { id, revision, labels } as unknown as VolumeRecord },
    context,
  );
const create = (replica: string, volume = 'vol-1') =>
  node.handlers['replica.create']({ replica, volume, disk: 'disk-1', sizeBytes: 8 * MIB }, context);
const snapshot = (replica: string, id: string) =>
  node.handlers['snapshot.create']({ replica, volume: 'vol-1', snapshot: id }, context);

test('a survey tells the copy, the replicas with their chain, and the epoch of each volume', async () => {
  await create('rep-1');
  await snapshot('rep-1', 'snap-a');
  await snapshot('rep-1', 'snap-b');
  await keep('vol-1', 5);
  await create('rep-9', 'vol-0');
  const { disks, volumes, next } = await survey();
  expect(disks).toEqual(['disk-1']);
  expect(next).toBeNull();
  expect(volumes).toMatchObject([
    { volume: 'vol-0', record: null, replicas: [{ replica: 'rep-9' }], engine: null, epoch: 0 },
    {
      volume: 'vol-1',
      record: { id: 'vol-1', revision: 5 },
      replicas: [
        {
          replica: 'rep-1',
          disk: 'disk-1',
          head: { presence: 'present', sizeBytes: 8 * MIB, parent: 'snap-b' },
          snapshots: [
            { snapshot: 'snap-a', presence: 'present', parent: null },
            { snapshot: 'snap-b', presence: 'present', parent: 'snap-a' },
          ],
          exported: [],
        },
      ],
    },
  ]);
});

test('a survey tells which operation has made the head, also when its revert was cut off', async () => {
  await create('rep-1');
  await snapshot('rep-1', 'snap-a');
  const madeBy = async () => (await survey()).volumes[0]?.replicas[0]?.head.madeBy;
  expect(await madeBy()).toBe('op-1');
  const revert = () =>
    node.handlers['replica.revert'](
      { replica: 'rep-1', volume: 'vol-1', snapshot: 'snap-a', sizeBytes: 8 * MIB },
      { ...context, operation: 'op-2' },
    );
  const cutBefore = (method: string) => {
    node.target.before = (called: string) => {
      if (called === method) throw connectionLost();
    };
  };
  cutBefore('bdev_lvol_delete');
  await expect(revert()).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
  node.target.before = () => undefined;
  // The old head is there still.
  expect(await madeBy()).toBeNull();
  cutBefore('bdev_lvol_resize');
  await expect(revert()).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
  node.target.before = () => undefined;
  expect(await madeBy()).toBe('op-2');
  await revert();
  expect(await madeBy()).toBe('op-2');
});

test('what a disk that is not loaded, or a target that does not answer, holds is unknown, not absent', async () => {
  await create('rep-1');
  const presence = async () => (await survey()).volumes[0]?.replicas[0]?.head.presence;
  node.target.stores.delete('disk-1');
  node.target.lvols.clear();
  expect(await presence()).toBe('unknown');
  expect((await survey()).disks).toEqual([]);
  node.target.stores.add('disk-1');
  expect(await presence()).toBe('absent');
  node.target.before = () => {
    throw connectionLost();
  };
  expect(await presence()).toBe('unknown');
});

test('a survey of much comes in pages, each volume once', async () => {
  const ids = Array.from({ length: 30 }, (_, at) => `vol-${String(at).padStart(2, '0')}`);
  for (const id of ids) {
    await create(`rep-of-${id}`, id);
    await keep(id, 1, { padding: 'x'.repeat(20_000) });
  }
  const seen: string[] = [];
  let pages = 0;
  for (let after: string | null = null; pages === 0 || after !== null; pages += 1) {
    const page = await survey(after);
    seen.push(...page.volumes.map(({ volume }) => volume));
    after = page.next;
  }
  expect(seen).toEqual(ids);
  expect(pages).toBeGreaterThan(1);
});

test('the copy of a record goes with the last replica of its volume, not before', async () => {
  await create('rep-1');
  await create('rep-2');
  await keep('vol-1');
  await node.handlers['replica.delete']({ replica: 'rep-1', volume: 'vol-1' }, context);
  expect(node.journal.recordPosition('volume', 'vol-1')).toEqual({ generation: 0, revision: 1 });
  await node.handlers['replica.delete']({ replica: 'rep-2', volume: 'vol-1' }, context);
  // One that was on its way while the replica went.
  await expect(keep('vol-1', 2)).rejects.toMatchObject({ code: 'NOT_OWNED' });
  expect((await survey()).volumes).toEqual([]);
});
