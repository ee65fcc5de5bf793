import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import {
  type DigestPage,
  clusterDigestOf,
  decodeDigestPage,
  encodeDigestPage,
  imageCopyNqn,
  imageFetchHostNqn,
  rootDigestOf,
} from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, MIB } from '@lariat/kernel';
import { BlockIoError } from '@lariat/nvme-tcp';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { imagePatchNqn } from '../domain/names.js';
import { FakeTarget } from '../testing/fake-target.js';
import { type Fixture, newContext } from '../testing/fixture.js';
import { COPY, SIZE_BYTES, ImageNode, SOURCE } from '../testing/image-node.js';

let at: ImageNode;
let node: Fixture;
let { create, seal, remove, digest, exported, names, left } = {} as ImageNode;

beforeEach(async () => {
  at = await ImageNode.open();
  ({ node, create, seal, remove, digest, exported, names, left } = at);
});
afterEach(() => at.close());

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
    at.content.set(draft, data);
    const { lvolUuid } = await seal();
    const clusters = Array.from({ length: 4 }, (_, at) =>
      clusterDigestOf(data.subarray(at * MIB, (at + 1) * MIB)),
    );
    const whole = { sizeBytes: SIZE_BYTES, digests: Buffer.concat(clusters) };
    const answer = { sha256: rootDigestOf(whole), sizeBytes: SIZE_BYTES };
    expect(await digest()).toEqual(answer);
    expect(await digest()).toEqual(answer);
    expect(at.reads).toHaveLength(4);
    expect(exported()).toEqual([]);
    const page = await node.handlers['image.read-digests'](
      { ...COPY, firstCluster: 1, clusters: 2 },
      newContext(),
    );
    expect(decodeDigestPage(page.digests)).toEqual(clusters.slice(1, 3));
    expect(at.reads).toHaveLength(4);
    at.content.get(lvolUuid)?.writeUInt8(data.readUInt8(0) ^ 1, 0);
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

describe('a sealed copy on a target that hashes its lvols itself', () => {
  const METHOD = 'lariat_lvol_get_cluster_digests';
  const SIZE_MIB = 20;
  const digestsOf = (data: Buffer, first: number, clusters: number): Buffer =>
    Buffer.concat(
      Array.from({ length: clusters }, (_, index) =>
        clusterDigestOf(data.subarray((first + index) * MIB, (first + index + 1) * MIB)),
      ),
    );
  const rootOf = (data: Buffer): string =>
    rootDigestOf({ sizeBytes: data.length, digests: digestsOf(data, 0, data.length / MIB) });
  const asked = (): number =>
    node.target.calls.splice(0).filter(({ method }) => method === METHOD).length;

  async function sealed(): Promise<{ lvolUuid: string; data: Buffer }> {
    const { lvolUuid: draft } = await create({ sizeBytes: SIZE_MIB * MIB });
    at.content.set(draft, randomBytes(SIZE_MIB * MIB));
    const { lvolUuid } = await seal();
    node.target.methods.add(METHOD);
    node.target.digestsOf = (uuid, ...part) =>
      digestsOf(at.content.get(uuid) ?? Buffer.alloc(0), ...part);
    return { lvolUuid, data: at.content.get(lvolUuid) ?? Buffer.alloc(0) };
  }

  test('is not sent, and is hashed anew when that is asked', async () => {
    const { data } = await sealed();
    expect((await digest()).sha256).toBe(rootOf(data));
    expect(asked()).toBe(2);
    await digest();
    expect(asked()).toBe(0);
    data.writeUInt8(data.readUInt8(3 * MIB) ^ 1, 3 * MIB);
    expect((await digest(true)).sha256).toBe(rootOf(data));
    expect([asked(), at.reads, exported()]).toEqual([2, [], []]);
  });

  test('is hashed no faster than it may be', async () => {
    await sealed();
    const begunAtMs = performance.now();
    const told: number[] = [];
    await node.handlers['image.digest-copy'](
      { ...COPY, reread: true, mibPerSecond: 200 },
      { ...newContext(), progress: (done) => void told.push(done) },
    );
    // The second request is due after 16 MiB: 80 ms.
    expect(performance.now() - begunAtMs).toBeGreaterThan(75);
    expect(told).toEqual([16 * MIB, 20 * MIB]);
  });

  test('is read where the target could not read it, which says why', async () => {
    const { lvolUuid, data } = await sealed();
    node.target.digestsOf = new FakeTarget().digestsOf;
    expect((await digest()).sha256).toBe(rootOf(data));
    expect(at.reads).toHaveLength(SIZE_MIB);
    at.failing = { uuid: lvolUuid, error: new BlockIoError('media', 'injected') };
    await expect(digest(true)).rejects.toMatchObject({ code: 'IMAGE_COPY_CORRUPT' });
  });

  test('is read where its clusters are of another size', async () => {
    const { data } = await sealed();
    const { lvol } = node.target.spdk();
    const ask = lvol.getClusterDigests.bind(lvol);
    lvol.getClusterDigests = async (...part) => ({
      ...(await ask(...part)),
      clusterSizeBytes: 4 * MIB,
    });
    expect((await digest()).sha256).toBe(rootOf(data));
    expect(at.reads).toHaveLength(SIZE_MIB);
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
    at.content.set(SOURCE.uuid, data);
    const { lvolUuid } = await create({ hostNqn: null });
    expect(await fetch(page(data))).toEqual({ copiedClusters: 2 });
    expect(await fetch(page(data.subarray(3 * MIB)), 3)).toEqual({ copiedClusters: 1 });
    expect(at.reads.map(({ offsetBytes }) => offsetBytes / CLUSTER_SIZE_BYTES)).toEqual([1, 3, 3]);
    expect(at.content.get(lvolUuid)?.equals(data)).toBe(true);
    expect(at.opened[0]).toEqual({
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
    at.content.set(SOURCE.uuid, Buffer.from(data));
    at.content.get(SOURCE.uuid)?.writeUInt8(data.readUInt8(2 * MIB) ^ 1, 2 * MIB);
    const { lvolUuid } = await create({ hostNqn: null });
    await expect(fetch(page(data))).rejects.toMatchObject({
      code: 'IMAGE_COPY_CORRUPT',
      details: { cluster: 2 },
    });
    expect(
      at.content
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
    at.content.set(SOURCE.uuid, data);
    const { lvolUuid } = await create({ hostNqn: null });
    const cases = [
      [SOURCE.uuid, 'gone', 'IMAGE_SOURCE_LOST'],
      [SOURCE.uuid, 'media', 'IMAGE_COPY_CORRUPT'],
      [lvolUuid, 'gone', 'TARGET_UNAVAILABLE'],
      [lvolUuid, 'no-space', 'DISK_FULL'],
    ] as const;
    for (const [uuid, failure, code] of cases) {
      at.failing = { uuid, error: new BlockIoError(failure, 'injected') };
      await expect(fetch(page(data))).rejects.toMatchObject({ code });
      expect(exported()).toEqual([]);
    }
    at.failing = undefined;
    at.unreachable = SOURCE.nqn;
    await expect(fetch(page(data))).rejects.toMatchObject({ code: 'IMAGE_SOURCE_LOST' });
    at.unreachable = undefined;
    expect(await fetch(page(data))).toEqual({ copiedClusters: 4 });
    const { lvolUuid: sealed } = await seal();
    at.failing = { uuid: sealed, error: new BlockIoError('media', 'injected') };
    await expect(digest(true)).rejects.toMatchObject({ code: 'IMAGE_COPY_CORRUPT' });
  });

  test('ends with the draft', async () => {
    const data = randomBytes(SIZE_BYTES);
    at.content.set(SOURCE.uuid, data);
    const { lvolUuid } = await create({ hostNqn: null });
    let reading = (): void => undefined;
    const read = new Promise<void>((resolve) => (reading = resolve));
    let goOn = (): void => undefined;
    const held = new Promise<void>((resolve) => (goOn = resolve));
    at.whileReading = () => (reading(), held);
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
