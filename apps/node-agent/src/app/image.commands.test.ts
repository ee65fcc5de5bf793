import 'reflect-metadata';
import { type ImageRecord, imageDraftNqn } from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { queueKey } from '../domain/command-rules.js';
import { imagePatchNqn } from '../domain/names.js';
import { type Fixture, newContext } from '../testing/fixture.js';
import { COPY, HOST, ImageNode, SIZE_BYTES } from '../testing/image-node.js';
import { replicasOf } from './presence.js';

let at: ImageNode;
let node: Fixture;
let { create, seal, remove, replica, exported, names, left, cutAfterChange, heal } =
  {} as ImageNode;

beforeEach(async () => {
  at = await ImageNode.open();
  ({ node, create, seal, remove, replica, exported, names, left, cutAfterChange, heal } = at);
});
afterEach(() => at.close());

describe('a copy that a node which was installed anew has still', () => {
  const adopt = (lvolUuid: string) =>
    node.handlers['image.adopt-copy']({ ...COPY, lvolUuid }, newContext());

  test('is taken up, once, when it is sealed and the one that is on record', async () => {
    const { lvolUuid: draft } = await create();
    for (const { name } of node.journal.ownedOfKind('lvol'))
      await node.journal.dropOwned('lvol', name);
    await expect(adopt(draft)).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_FOUND' });
    node.target.lvols.clear();
    await create();
    const { lvolUuid } = await seal();
    const before = node.journal.ownedOfKind('lvol');
    for (const { name } of before) await node.journal.dropOwned('lvol', name);
    await expect(adopt('another')).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_FOUND' });
    for (let delivery = 1; delivery <= 2; delivery += 1)
      expect(await adopt(lvolUuid)).toEqual({ lvolUuid });
    expect(node.journal.ownedOfKind('lvol')).toEqual(before);
  });
});

describe('a draft', () => {
  test('is on record before it is made, and belongs to its image', async () => {
    const seen: unknown[] = [];
    node.target.before = (method) => {
      if (method === 'bdev_lvol_create') seen.push(...left());
    };
    const { lvolUuid, endpoint } = await create();
    expect(seen).toMatchObject([{ uuid: null, params: { role: 'image-draft', ...COPY } }]);
    expect(endpoint).toMatchObject({ nqn: imageDraftNqn(lvolUuid), uuid: lvolUuid });
    expect([...(node.target.subsystems.get(imageDraftNqn(lvolUuid))?.hosts ?? [])]).toEqual([HOST]);
    expect(replicasOf(node.journal, () => undefined)).toEqual([]);
  });

  test('is made once, wherever an earlier try was cut off', async () => {
    for (let cut = 1; cut <= 5; cut += 1) {
      cutAfterChange(cut);
      await expect(create()).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
      heal();
      const made = await create();
      expect([...node.target.lvols.keys()]).toEqual([made.lvolUuid]);
      expect(await create()).toEqual(made);
      await remove();
      expect([node.target.lvols.size, exported(), left()]).toEqual([0, [], []]);
    }
  });

  test('has whole clusters, and whom it is exported to can change', async () => {
    const made = await create({ sizeBytes: SIZE_BYTES - 1 });
    expect(made.sizeBytes).toBe(SIZE_BYTES);
    const { endpoint } = await create({ hostNqn: 'nqn.other' });
    expect([...(node.target.subsystems.get(endpoint?.nqn ?? '')?.hosts ?? [])]).toEqual([
      'nqn.other',
    ]);
    expect(await create({ hostNqn: null })).toEqual({ ...made, endpoint: null });
    expect(exported()).toEqual([]);
  });

  test('of another operation or size, or a sealed copy, is neither taken over nor lost', async () => {
    const { lvolUuid } = await create();
    for (const other of [{ operation: 'op-2' }, { sizeBytes: 2 * SIZE_BYTES }])
      await expect(create(other)).rejects.toMatchObject({ code: 'IMAGE_COPY_EXISTS' });
    expect([...node.target.lvols.keys()]).toEqual([lvolUuid]);
    const sealed = await seal();
    await expect(create()).rejects.toMatchObject({ code: 'IMAGE_COPY_EXISTS' });
    expect(await seal()).toEqual(sealed);
  });

  test('that its disk has lost is not made anew unasked', async () => {
    const { lvolUuid } = await create();
    node.target.lvols.delete(lvolUuid);
    await expect(create()).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_FOUND' });
    await expect(seal()).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_FOUND' });
    await remove();
    expect((await create()).lvolUuid).not.toBe(lvolUuid);
  });

  test('says unknown, not gone, while the disk is not loaded', async () => {
    await create();
    node.target.stores.delete('disk-1');
    await expect(remove()).rejects.toMatchObject({ code: 'DISK_LOST' });
    expect(left()).not.toEqual([]);
  });
});

describe('sealing', () => {
  test('cuts the writer off, at.flushes, and leaves the snapshot alone', async () => {
    const { lvolUuid: draft } = await create();
    const order: unknown[] = [];
    node.target.before = (method, params) => {
      if (/delete|snapshot/.test(method)) order.push([method, params['nqn']]);
    };
    const { lvolUuid, sizeBytes } = await seal();
    expect(at.flushes).toEqual([draft]);
    expect(order).toEqual([
      ['nvmf_delete_subsystem', imageDraftNqn(draft)],
      ['nvmf_delete_subsystem', imagePatchNqn(draft)],
      ['bdev_lvol_snapshot', undefined],
      ['bdev_lvol_delete', undefined],
    ]);
    expect(sizeBytes).toBe(SIZE_BYTES);
    expect(exported()).toEqual([]);
    expect(node.target.lvols.get(lvolUuid)).toMatchObject({ name: COPY.image, isSnapshot: true });
    expect(names()).toEqual([COPY.image]);
    expect(left()).toMatchObject([{ uuid: lvolUuid, params: { role: 'image' } }]);
  });

  test('is done by a repetition, wherever it was cut off, and told of as one copy', async () => {
    const states: unknown[] = [];
    for (let cut = 1; cut <= 8; cut += 1) {
      await create();
      cutAfterChange(cut);
      await expect(seal()).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
      heal();
      states.push(node.imageReports.list().map(({ state }) => state));
      const { lvolUuid } = await seal();
      expect(node.imageReports.list()).toMatchObject([{ state: 'sealed', uuid: lvolUuid }]);
      expect([names(), exported(), left().length]).toEqual([[COPY.image], [], 1]);
      await remove();
      expect([names(), left()]).toEqual([[], []]);
    }
    // Only the last, the deletion of the draft, comes after the snapshot is on record.
    expect(states).toEqual([...Array.from({ length: 7 }, () => ['writing']), ['sealed']]);
  });
});

describe('a seal that was cut off', () => {
  test('can be followed by a deletion, which leaves nothing', async () => {
    for (let cut = 1; cut <= 8; cut += 1) {
      await create();
      cutAfterChange(cut);
      await expect(seal()).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
      heal();
      await remove();
      expect([names(), exported(), left()]).toEqual([[], [], []]);
    }
  });

  test('is no ground for a replica, and no longer a draft to anybody else', async () => {
    await create();
    // Up to the snapshot, of which the record does not know yet.
    cutAfterChange(7);
    await expect(seal()).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
    heal();
    await expect(replica()).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_SEALED' });
    await expect(create()).rejects.toMatchObject({ code: 'IMAGE_COPY_EXISTS' });
    await seal();
    await replica();
  });
});

describe('deleting a copy', () => {
  test('is refused while a replica stands on it, with the name of the replica', async () => {
    await create();
    const { lvolUuid } = await seal();
    await replica();
    await replica(SIZE_BYTES, 'rep-b');
    await node.target.spdk().lvol.clone(lvolUuid, 'stranger');
    await expect(remove()).rejects.toMatchObject({
      code: 'IMAGE_COPY_IN_USE',
      details: { replicas: ['rep-a', 'rep-b'], strangers: ['stranger'] },
    });
    const stranger = [...node.target.lvols.values()].find(({ name }) => name === 'stranger');
    await node.target.spdk().lvol.delete(stranger?.uuid ?? '');
    for (const name of ['rep-a', 'rep-b']) {
      await expect(remove()).rejects.toMatchObject({ code: 'IMAGE_COPY_IN_USE' });
      await node.handlers['replica.delete']({ replica: name, volume: 'vol-1' }, newContext());
    }
    await remove();
    expect(node.target.lvols.size).toBe(0);
    await remove();
  });

  test('is refused too while only a snapshot, or a scratch of a rebuild, stands on it', async () => {
    await create();
    const { lvolUuid } = await seal();
    await replica();
    const snapshot = { replica: 'rep-a', volume: 'vol-1', snapshot: 's1' };
    await node.handlers['snapshot.create'](snapshot, newContext());
    await expect(remove()).rejects.toMatchObject({ details: { replicas: ['rep-a'] } });
    expect(node.target.lvols.has(lvolUuid)).toBe(true);
  });

  test('and making a replica of it at the same time: one of the two is refused', async () => {
    for (const first of ['delete', 'clone'] as const) {
      await create();
      await seal();
      const tasks = first === 'delete' ? [remove(), replica()] : [replica(), remove()];
      const [one, two] = await Promise.allSettled(tasks);
      expect([one?.status, two?.status]).toEqual(['fulfilled', 'rejected']);
      expect(two).toMatchObject({
        reason: { code: first === 'delete' ? 'IMAGE_COPY_NOT_FOUND' : 'IMAGE_COPY_IN_USE' },
      });
      await node.handlers['replica.delete']({ replica: 'rep-a', volume: 'vol-1' }, newContext());
      await remove();
    }
  });

  test('leaves an lvol alone that has its name and another uuid', async () => {
    await create();
    const { lvolUuid } = await seal();
    node.target.lvols.delete(lvolUuid);
    const other = await node.target.spdk().lvol.create({
      store: { lvsName: 'disk-1' },
      lvolName: COPY.image,
      sizeMib: 1,
    });
    await expect(remove()).rejects.toMatchObject({ code: 'NOT_OWNED' });
    expect(node.target.lvols.has(other)).toBe(true);
  });

  test('and all else leave a replica alone that has the name of the image', async () => {
    const of = { replica: COPY.image, volume: 'vol-1' };
    await node.handlers['replica.create'](
      { ...of, disk: COPY.disk, sizeBytes: SIZE_BYTES },
      newContext(),
    );
    await remove();
    await expect(replica()).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_FOUND' });
    await create();
    await expect(seal()).rejects.toMatchObject({ code: 'NOT_OWNED' });
    await remove();
    expect([names(), left()]).toEqual([[COPY.image], []]);
    expect(node.journal.ownedBy(COPY.image)).toHaveLength(1);
  });

  test('does not wait for a fetch that is under way', () => {
    expect(queueKey('image.delete-copy', COPY)).not.toBe(queueKey('image.fetch-copy', COPY));
    expect(queueKey('image.seal-copy', COPY)).toBe(queueKey('image.fetch-copy', COPY));
    expect(queueKey('image.seal-copy', { ...COPY, disk: 'disk-2' })).not.toBe(
      queueKey('image.seal-copy', COPY),
    );
  });
});

describe('the inventory', () => {
  test('tells of each copy, its state, and how many stand on it', async () => {
    expect(node.imageReports.list()).toEqual([]);
    const { lvolUuid: draft } = await create();
    const of = { ...COPY, sizeBytes: SIZE_BYTES };
    const none = { allocatedClusters: null, clones: null, record: null };
    const unknown = { presence: 'unknown', ...none };
    expect(node.imageReports.list()).toEqual([
      { ...of, ...unknown, state: 'writing', uuid: draft },
    ]);
    const { lvolUuid } = await seal();
    await replica();
    await node.imageReports.refresh();
    const sealed = { ...of, state: 'sealed', uuid: lvolUuid };
    expect(node.imageReports.list()).toEqual([
      { ...sealed, ...none, presence: 'present', allocatedClusters: 0, clones: 1 },
    ]);
    node.target.stores.delete('disk-1');
    await node.imageReports.refresh();
    expect(node.imageReports.list()).toEqual([{ ...sealed, ...unknown }]);
    node.target.stores.add('disk-1');
    node.target.lvols.delete(lvolUuid);
    await node.imageReports.refresh();
    expect(node.imageReports.list()).toEqual([{ ...sealed, ...unknown, presence: 'absent' }]);
    await remove();
    await delay(0);
    expect(node.imageReports.list()).toEqual([]);
  });
});

describe('the copy of an image’s record', () => {
  const keep = (revision: number) =>
    node.handlers['record.keep'](
      { kind: 'image', record: { id: COPY.image, generation: 0, revision } as ImageRecord },
      newContext(),
    );
  const survey = async () =>
    (await node.handlers['record.survey']({ after: null }, newContext())).images;

  test('is kept beside a sealed copy, told of, and goes with it', async () => {
    await create();
    await expect(keep(1)).rejects.toMatchObject({ code: 'NOT_OWNED' });
    const [draft] = await survey();
    const of = { disk: COPY.disk, sizeBytes: SIZE_BYTES, presence: 'present', operation: 'op-1' };
    expect(draft).toMatchObject({ record: null, copies: [{ ...of, state: 'writing' }] });
    const { lvolUuid } = await seal();
    expect(await keep(2)).toEqual({ held: { generation: 0, revision: 2 }, isSame: true });
    await replica();
    expect(node.imageReports.list()).toMatchObject([{ record: { generation: 0, revision: 2 } }]);
    const [sealed] = await survey();
    expect(sealed).toMatchObject({
      ...{ image: COPY.image, record: { revision: 2 } },
      copies: [{ ...of, state: 'sealed', uuid: lvolUuid }],
    });
    expect(sealed?.copies).toHaveLength(1);
    const { volumes } = await node.handlers['record.survey']({ after: null }, newContext());
    expect(volumes.map(({ volume }) => volume)).toEqual(['vol-1']);
    await node.handlers['replica.delete']({ replica: 'rep-a', volume: 'vol-1' }, newContext());
    await remove();
    expect(await survey()).toEqual([]);
    await expect(keep(3)).rejects.toMatchObject({ code: 'NOT_OWNED' });
  });

  test('keeps the copy from being deleted by who knows less: it may be the last one', async () => {
    await create();
    await seal();
    await keep(5);
    const drop = (revision: number) =>
      node.handlers['image.delete-copy'](
        { ...COPY, record: { generation: 0, revision } },
        newContext(),
      );
    await expect(drop(4)).rejects.toMatchObject({ code: 'RECORD_STALE' });
    expect((await survey())[0]?.copies).toMatchObject([{ presence: 'present' }]);
    await drop(5);
    expect(await survey()).toEqual([]);
  });
});
