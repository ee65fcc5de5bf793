import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import {
  type DigestPage,
  clusterDigestOf,
  decodeDigestPage,
  encodeDigestPage,
  imageCopyNqn,
  imageDraftNqn,
  imageFetchHostNqn,
  nodeHostNqn,
  rootDigestOf,
} from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, MIB, delay } from '@lariat/kernel';
import { BlockIoError } from '@lariat/nvme-tcp';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { queueKey } from '../domain/command-rules.js';
import { imagePatchNqn } from '../domain/names.js';
import type { ConnectedDevice } from '../ports/block-connector.port.js';
import { connectionLost } from '../testing/fake-target.js';
import { type Fixture, fixture, newContext, tempDir } from '../testing/fixture.js';
import { replicasOf } from './presence.js';

const SIZE_BYTES = 4 * MIB;
const COPY = { image: 'img-000000000001', disk: 'disk-1' };
const HOST = 'nqn.2026-11.io.lariat:importer';
const SOURCE = { nqn: 'nqn.source', traddr: '127.0.0.1', trsvcid: '1', uuid: 'source' };

let dir: ReturnType<typeof tempDir>;
let node: Fixture;
/** Content by uuid of the namespace; a snapshot of the target has that of its head. */
const content = new Map<string, Buffer>();
let opened: { readonly nqn: string; readonly hostNqn: string }[] = [];
let flushes: string[] = [];
let reads: { readonly uuid: string; readonly offsetBytes: number }[] = [];
/** The I/O of this device fails. */
let failing: { readonly uuid: string; readonly error: Error } | undefined;
let unreachable: string | undefined;
/** Awaited by each read. */
let whileReading: () => Promise<void> | void = () => undefined;

function deviceOf(uuid: string): ConnectedDevice {
  const data = content.get(uuid) ?? Buffer.alloc(SIZE_BYTES);
  content.set(uuid, data);
  return {
    uuid,
    blockSizeBytes: 4096,
    sizeBytes: data.length,
    read: async (offsetBytes, lengthBytes) => {
      reads.push({ uuid, offsetBytes });
      if (failing?.uuid === uuid) throw failing.error;
      await whileReading();
      return Buffer.from(data.subarray(offsetBytes, offsetBytes + lengthBytes));
    },
    write: (offsetBytes, written) => {
      if (failing?.uuid === uuid) return Promise.reject(failing.error);
      written.copy(data, offsetBytes);
      return Promise.resolve();
    },
    writeZeroes: () => Promise.reject(new Error('zeros need no writing')),
    unmap: () => Promise.resolve(),
    flush: () => {
      flushes.push(uuid);
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
}

beforeEach(async () => {
  dir = tempDir();
  content.clear();
  [opened, flushes, reads] = [[], [], []];
  [failing, unreachable] = [undefined, undefined];
  whileReading = () => undefined;
  node = await fixture(dir.path, {
    connect: ({ endpoint, hostNqn }) => {
      opened.push({ nqn: endpoint.nqn, hostNqn });
      if (endpoint.nqn === unreachable) return Promise.reject(new Error('connection refused'));
      const subsystem = node.target.subsystems.get(endpoint.nqn);
      if (subsystem === undefined && endpoint !== SOURCE)
        throw new Error('there is no such subsystem');
      if (subsystem?.hosts.has(hostNqn) === false) throw new Error('not admitted');
      return Promise.resolve(deviceOf(endpoint.uuid));
    },
  });
  const { target } = node;
  const snapshot = target.spdk().lvol.snapshot.bind(target.spdk().lvol);
  target.spdk().lvol.snapshot = async (head, name) => {
    const uuid = await snapshot(head, name);
    content.set(uuid, Buffer.from(content.get(head) ?? Buffer.alloc(SIZE_BYTES)));
    return uuid;
  };
});
afterEach(async () => {
  await node.journal.close();
  await node.digestStore.close();
  dir.remove();
});

const create = (over: { operation?: string; sizeBytes?: number; hostNqn?: string | null } = {}) => {
  const { operation = 'op-1', sizeBytes = SIZE_BYTES, hostNqn = HOST } = over;
  return node.handlers['image.create-copy'](
    { ...COPY, sizeBytes, hostNqn },
    { ...newContext(), operation },
  );
};
const seal = () => node.handlers['image.seal-copy'](COPY, newContext());
const remove = () => node.handlers['image.delete-copy'](COPY, newContext());
const digest = (reread = false) =>
  node.handlers['image.digest-copy']({ ...COPY, reread }, newContext());
const replica = (sizeBytes = 2 * SIZE_BYTES, name = 'rep-a') =>
  node.handlers['replica.create'](
    { replica: name, volume: 'vol-1', disk: COPY.disk, sizeBytes, image: COPY.image },
    newContext(),
  );
const exported = () => [...node.target.subsystems.keys()];
const names = () => [...node.target.lvols.values()].map(({ name }) => name).toSorted();
const left = () => node.journal.ownedBy(`image/${COPY.image}/${COPY.disk}`);

function cutAfterChange(nth: number): void {
  let remaining = nth;
  node.target.after = (method) => {
    if (/_get_/.test(method)) return;
    remaining -= 1;
    if (remaining === 0) throw connectionLost();
  };
}
function heal(): void {
  node.target.after = () => undefined;
}

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
    expect(replicasOf(node.journal)).toEqual([]);
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
    await expect(remove()).rejects.toMatchObject({ code: 'DISK_NOT_FOUND' });
    expect(left()).not.toEqual([]);
  });
});

describe('sealing', () => {
  test('cuts the writer off, flushes, and leaves the snapshot alone', async () => {
    const { lvolUuid: draft } = await create();
    const order: unknown[] = [];
    node.target.before = (method, params) => {
      if (/delete|snapshot/.test(method)) order.push([method, params['nqn']]);
    };
    const { lvolUuid, sizeBytes } = await seal();
    expect(flushes).toEqual([draft]);
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

describe('a replica with an image', () => {
  test('starts as a clone of the sealed copy on its disk, as large as its volume', async () => {
    await create();
    const { lvolUuid: parent } = await seal();
    const { lvolUuid } = await replica();
    expect(node.target.lvols.get(lvolUuid)).toMatchObject({
      ...{ parent, name: 'rep-a', sizeMib: (2 * SIZE_BYTES) / MIB, isSnapshot: false },
    });
    expect(await replica()).toEqual({ lvolUuid });
    expect(node.lvols.recordOf('rep-a', 'head')?.params.sizeBytes).toBe(2 * SIZE_BYTES);
  });

  test('is refused while the copy is not there, is not sealed, or is too large', async () => {
    await expect(replica()).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_FOUND' });
    await create();
    await expect(replica()).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_SEALED' });
    const { lvolUuid } = await seal();
    await expect(replica(SIZE_BYTES - MIB)).rejects.toMatchObject({ code: 'SIZE_TOO_SMALL' });
    node.target.lvols.delete(lvolUuid);
    await expect(replica()).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_FOUND' });
    expect([node.target.lvols.size, node.journal.ownedBy('rep-a')]).toEqual([0, []]);
  });

  const scratch = (parent: string | null, image: string | null = COPY.image) =>
    node.handlers['rebuild.create-scratch'](
      {
        ...{ replica: 'rep-b', volume: 'vol-1', disk: COPY.disk, sizeBytes: 2 * SIZE_BYTES },
        ...{ parent, image, hostNqn: nodeHostNqn('n1') },
      },
      newContext(),
    );
  const freeze = (snapshot: string) =>
    node.handlers['rebuild.freeze-scratch'](
      { replica: 'rep-b', volume: 'vol-1', snapshot },
      newContext(),
    );
  const copy = (snapshot: string, parent: string | null, image: string | null) =>
    node.handlers['rebuild.copy-snapshot'](
      {
        ...{ replica: 'rep-a', volume: 'vol-1', snapshot, parent, image },
        scratch: {
          ...{ nqn: 'nqn.2026-11.io.lariat:scratch:rep-b', traddr: '127.0.0.1', trsvcid: '1' },
          uuid: node.lvols.recordOf('rep-b', 'scratch')?.uuid ?? '',
        },
      },
      newContext(),
    );
  const snap = (snapshot: string) =>
    node.handlers['snapshot.create']({ replica: 'rep-a', volume: 'vol-1', snapshot }, newContext());

  test('is rebuilt onto the copy of its image, of which nothing is copied', async () => {
    await create();
    const { lvolUuid: image } = await seal();
    await replica();
    for (const snapshot of ['s1', 's2']) await snap(snapshot);
    await scratch(null);
    await scratch(null);
    await copy('s1', null, COPY.image);
    const { lvolUuid: s1 } = await freeze('s1');
    await scratch('s1');
    await copy('s2', 's1', COPY.image);
    const { lvolUuid: s2 } = await freeze('s2');
    expect(node.target.copied).toEqual(['rep-a.s1', 'rep-a.s2']);
    expect(node.target.lvols.get(s1)).toMatchObject({ parent: image, sizeMib: 8 });
    expect(node.target.lvols.get(s2)).toMatchObject({ parent: s1 });
  });

  test('is not rebuilt where there is no copy: that is fetched first', async () => {
    await expect(scratch(null)).rejects.toMatchObject({
      code: 'IMAGE_COPY_NOT_FOUND',
      message: expect.stringContaining('fetch it') as unknown,
    });
    await create();
    await expect(scratch(null)).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_SEALED' });
    expect(node.journal.ownedBy('rep-b')).toEqual([]);
  });

  test('is copied whole where the source does not stand on the image, for its zeros are not there', async () => {
    await create();
    await seal();
    await node.handlers['replica.create'](
      { replica: 'rep-a', volume: 'vol-1', disk: COPY.disk, sizeBytes: 2 * SIZE_BYTES },
      newContext(),
    );
    await snap('s1');
    await scratch(null);
    await expect(copy('s1', null, COPY.image)).rejects.toMatchObject({ code: 'IMAGE_NOT_BENEATH' });
    await scratch(null, null);
    await copy('s1', null, null);
    const { lvolUuid } = await freeze('s1');
    expect(node.target.copied).toEqual(['rep-a.s1']);
    expect(node.target.lvols.get(lvolUuid)).toMatchObject({ parent: null });
  });

  test('on the image, copied without it, brings the clusters of the image along', async () => {
    await create();
    await seal();
    await replica();
    await snap('s1');
    await scratch(null, null);
    await copy('s1', null, null);
    expect(node.target.copied).toEqual([COPY.image, 'rep-a.s1']);
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

describe('reading a sealed copy', () => {
  const give = (hostNqn: string) =>
    node.handlers['image.export-copy']({ ...COPY, hostNqn }, newContext());
  const end = (hostNqn: string) =>
    node.handlers['image.unexport-copy']({ ...COPY, hostNqn }, newContext());
  const hosts = () => [...(node.target.subsystems.get(nqn())?.hosts ?? [])];
  const nqn = () => imageCopyNqn(node.journal.owned('lvol', `disk-1/${COPY.image}`)?.uuid ?? '');

  test('is for any number of hosts, and ends for each alone', async () => {
    await create();
    await expect(give('nqn.a')).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_SEALED' });
    await seal();
    const endpoints = await Promise.all([give('nqn.a'), give('nqn.b'), give('nqn.a')]);
    expect(new Set(endpoints.map((endpoint) => endpoint.nqn))).toEqual(new Set([nqn()]));
    expect(hosts().toSorted()).toEqual(['nqn.a', 'nqn.b']);
    await end('nqn.a');
    expect(hosts()).toEqual(['nqn.b']);
    await digest();
    expect(hosts()).toEqual(['nqn.b']);
    await end('nqn.b');
    await end('nqn.b');
    expect(exported()).toEqual([]);
    await give('nqn.a');
    await remove();
    expect([exported(), left()]).toEqual([[], []]);
  });

  test('gives digests of its content, read once or anew, no faster than it may be', async () => {
    const { lvolUuid: draft } = await create();
    const data = Buffer.concat([randomBytes(MIB), Buffer.alloc(MIB), randomBytes(2 * MIB)]);
    content.set(draft, data);
    const { lvolUuid } = await seal();
    const clusters = Array.from({ length: 4 }, (_, at) =>
      clusterDigestOf(data.subarray(at * MIB, (at + 1) * MIB)),
    );
    const whole = { sizeBytes: SIZE_BYTES, digests: Buffer.concat(clusters) };
    const answer = { sha256: rootDigestOf(whole), sizeBytes: SIZE_BYTES };
    expect(await digest()).toEqual(answer);
    expect(await digest()).toEqual(answer);
    expect(reads).toHaveLength(4);
    expect(exported()).toEqual([]);
    const page = await node.handlers['image.read-digests'](
      { ...COPY, firstCluster: 1, clusters: 2 },
      newContext(),
    );
    expect(decodeDigestPage(page.digests)).toEqual(clusters.slice(1, 3));
    expect(reads).toHaveLength(4);
    content.get(lvolUuid)?.writeUInt8(data.readUInt8(0) ^ 1, 0);
    expect(await digest()).toEqual(answer);
    expect(await digest(true)).not.toEqual(answer);
    const begunAtMs = performance.now();
    const told: number[] = [];
    await node.handlers['image.digest-copy'](
      { ...COPY, reread: true, mibPerSecond: 40 },
      { ...newContext(), progress: (done) => void told.push(done) },
    );
    // The last of four MiB is due after three: 75 ms.
    expect(performance.now() - begunAtMs).toBeGreaterThan(70);
    expect(told).toEqual([1, 2, 3, 4].map((mib) => mib * MIB));
  });
});

describe('fetching a copy', () => {
  const page = (data: Buffer): DigestPage => {
    const clusters = Array.from({ length: data.length / MIB }, (_, at) =>
      clusterDigestOf(data.subarray(at * MIB, (at + 1) * MIB)),
    );
    return encodeDigestPage({ digests: Buffer.concat(clusters) }, 0, clusters.length);
  };
  const fetch = (digests: DigestPage, firstCluster = 0) =>
    node.handlers['image.fetch-copy'](
      { ...COPY, source: SOURCE, firstCluster, digests },
      newContext(),
    );

  test('reads and writes what is not zeros, each cluster checked, as a host of its own', async () => {
    const data = Buffer.concat([
      Buffer.alloc(MIB),
      randomBytes(MIB),
      Buffer.alloc(MIB),
      randomBytes(MIB),
    ]);
    content.set(SOURCE.uuid, data);
    const { lvolUuid } = await create({ hostNqn: null });
    expect(await fetch(page(data))).toEqual({ copiedClusters: 2 });
    expect(await fetch(page(data.subarray(3 * MIB)), 3)).toEqual({ copiedClusters: 1 });
    expect(reads.map(({ offsetBytes }) => offsetBytes / CLUSTER_SIZE_BYTES)).toEqual([1, 3, 3]);
    expect(content.get(lvolUuid)?.equals(data)).toBe(true);
    expect(opened[0]).toEqual({
      nqn: SOURCE.nqn,
      hostNqn: imageFetchHostNqn(COPY.image, COPY.disk),
    });
    expect(exported()).toEqual([]);
    const { sha256 } = (await seal(), await digest());
    expect(sha256).toBe(
      rootDigestOf({
        sizeBytes: SIZE_BYTES,
        digests: Buffer.concat([...decodeDigestPage(page(data))]),
      }),
    );
  });

  test('writes nothing that is not as its digest says, and says where', async () => {
    const data = randomBytes(SIZE_BYTES);
    content.set(SOURCE.uuid, Buffer.from(data));
    content.get(SOURCE.uuid)?.writeUInt8(data.readUInt8(2 * MIB) ^ 1, 2 * MIB);
    const { lvolUuid } = await create({ hostNqn: null });
    await expect(fetch(page(data))).rejects.toMatchObject({
      code: 'IMAGE_COPY_CORRUPT',
      details: { cluster: 2 },
    });
    expect(
      content
        .get(lvolUuid)
        ?.subarray(2 * MIB, 3 * MIB)
        .equals(Buffer.alloc(MIB)),
    ).toBe(true);
    await expect(fetch(page(data), 1)).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
    await seal();
    await expect(fetch(page(data))).rejects.toMatchObject({ code: 'IMAGE_COPY_NOT_FOUND' });
  });

  test('says which side failed: another source may do, its own target comes back', async () => {
    const data = randomBytes(SIZE_BYTES);
    content.set(SOURCE.uuid, data);
    const { lvolUuid } = await create({ hostNqn: null });
    const cases = [
      [SOURCE.uuid, 'gone', 'IMAGE_SOURCE_LOST'],
      [SOURCE.uuid, 'media', 'IMAGE_COPY_CORRUPT'],
      [lvolUuid, 'gone', 'TARGET_UNAVAILABLE'],
      [lvolUuid, 'no-space', 'DISK_FULL'],
    ] as const;
    for (const [uuid, failure, code] of cases) {
      failing = { uuid, error: new BlockIoError(failure, 'injected') };
      await expect(fetch(page(data))).rejects.toMatchObject({ code });
      expect(exported()).toEqual([]);
    }
    failing = undefined;
    unreachable = SOURCE.nqn;
    await expect(fetch(page(data))).rejects.toMatchObject({ code: 'IMAGE_SOURCE_LOST' });
    unreachable = undefined;
    expect(await fetch(page(data))).toEqual({ copiedClusters: 4 });
    const { lvolUuid: sealed } = await seal();
    failing = { uuid: sealed, error: new BlockIoError('media', 'injected') };
    await expect(digest(true)).rejects.toMatchObject({ code: 'IMAGE_COPY_CORRUPT' });
  });

  test('ends with the draft', async () => {
    const data = randomBytes(SIZE_BYTES);
    content.set(SOURCE.uuid, data);
    const { lvolUuid } = await create({ hostNqn: null });
    let reading = (): void => undefined;
    const read = new Promise<void>((resolve) => (reading = resolve));
    let goOn = (): void => undefined;
    const held = new Promise<void>((resolve) => (goOn = resolve));
    whileReading = () => (reading(), held);
    const fetching = fetch(page(data));
    await read;
    expect(exported()).toEqual([imagePatchNqn(lvolUuid)]);
    await remove();
    expect([exported(), names(), left()]).toEqual([[], [], []]);
    goOn();
    await fetching.catch(() => undefined);
    expect([exported(), names(), left()]).toEqual([[], [], []]);
  });
});

describe('the inventory', () => {
  test('tells of each copy, its state, and how many stand on it', async () => {
    expect(node.imageReports.list()).toEqual([]);
    const { lvolUuid: draft } = await create();
    const of = { ...COPY, sizeBytes: SIZE_BYTES };
    const unknown = { presence: 'unknown', allocatedClusters: null, clones: null };
    expect(node.imageReports.list()).toEqual([
      { ...of, ...unknown, state: 'writing', uuid: draft },
    ]);
    const { lvolUuid } = await seal();
    await replica();
    await node.imageReports.refresh();
    const sealed = { ...of, state: 'sealed', uuid: lvolUuid };
    expect(node.imageReports.list()).toEqual([
      { ...sealed, presence: 'present', allocatedClusters: 0, clones: 1 },
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
