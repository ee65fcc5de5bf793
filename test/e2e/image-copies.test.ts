import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type DigestPage,
  type ImageCopyReport,
  type Inventory,
  clusterDigestOf,
  encodeDigestPage,
  imageFetchHostNqn,
  inventorySubject,
  nodeHostNqn,
  rootDigestOf,
} from '@lariat/contracts';
import { MIB, newImageId, newReplicaId, newVolumeId } from '@lariat/kernel';
import type { HostNamespace } from '@lariat/nvme-tcp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';
import { type SendToNode, nodeCommands, whileAttached } from './node-commands.js';

const DISK_BYTES = 128 * MIB;
const CLUSTERS = 24;
const SIZE_BYTES = CLUSTERS * MIB;
const HOST = 'nqn.2026-11.io.lariat:e2e-importer';
/** What the disks are full of before, and the image has nothing of. */
const OLD = Buffer.from('old bytes of the disk, which nobody may ever read; ');

/** Random bytes with holes of 4 to 512 KiB within clusters, and clusters of zeros between them. */
function sparseImage(): Buffer {
  const data = randomBytes(SIZE_BYTES);
  for (let cluster = 0; cluster < CLUSTERS; cluster += 1) {
    const from = cluster * MIB;
    if (cluster % 3 === 1) data.fill(0, from, from + MIB);
    else if (cluster % 3 === 2) {
      const hole = 4096 << (cluster % 8);
      for (let at = 0; at < MIB; at += 2 * hole) data.fill(0, from + at, from + at + hole);
    }
  }
  return data;
}

const clusterOf = (data: Buffer, cluster: number): Buffer =>
  data.subarray(cluster * MIB, (cluster + 1) * MIB);
const isZeros = (data: Buffer): boolean => data.every((byte) => byte === 0);
const sha256 = (...parts: readonly Buffer[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

async function readAll(device: HostNamespace): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let at = 0; at < device.sizeBytes; at += MIB) parts.push(await device.read(at, MIB));
  return Buffer.concat(parts);
}

describe("an image's copies on dirty disks", () => {
  const image = newImageId();
  const content = sparseImage();
  const digests = Buffer.concat(
    Array.from({ length: CLUSTERS }, (_, at) => clusterDigestOf(clusterOf(content, at))),
  );
  const root = rootDigestOf({ sizeBytes: SIZE_BYTES, digests });
  const written = Array.from({ length: CLUSTERS }, (_, at) => at).filter(
    (at) => !isZeros(clusterOf(content, at)),
  );
  const folder = mkdtempSync(join(tmpdir(), 'lariat-dirty-'));
  const disks = new Map<string, { readonly id: string; readonly path: string }>();
  const inventories = new Map<string, Inventory>();
  const replicas = new Map<string, string>();
  let e2e: E2eCluster;
  let send: SendToNode;

  const copyOn = (node: string): { image: string; disk: string } => ({
    image,
    disk: disks.get(node)?.id ?? '',
  });
  const page = (firstCluster: number, clusters: number): DigestPage =>
    encodeDigestPage({ digests }, firstCluster, clusters);
  const listed = (node: string, what: (copy: ImageCopyReport) => boolean): Promise<unknown> =>
    until('the inventory to tell of the copy', 30_000, () =>
      Promise.resolve(
        inventories.get(node)?.images?.find((copy) => copy.image === image && what(copy)),
      ),
    );

  beforeAll(async () => {
    e2e = await startE2e();
    send = nodeCommands(e2e.connection);
    for (const node of ['n1', 'n2', 'n3']) {
      const path = join(folder, `${node}.img`);
      writeFileSync(path, Buffer.alloc(DISK_BYTES, OLD));
      const { id } = await e2e.client.request('disk.add', {
        ...{ node, path, name: 'dirty', erase: true },
      });
      disks.set(node, { id, path });
      e2e.connection.subscribe(inventorySubject(node), {
        callback: (_error, message) => void inventories.set(node, message.json<Inventory>()),
      });
    }
  });
  afterAll(async () => {
    await e2e.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('holds what was written, by whole clusters, and zeros elsewhere: before it is sealed and after', async () => {
    const copy = copyOn('n1');
    const operation = 'op-import';
    const input = { ...copy, sizeBytes: SIZE_BYTES, hostNqn: HOST };
    const { endpoint, lvolUuid: draft } = await send('n1', 'image.create-copy', input, {
      operation,
    });
    if (endpoint === null) throw new Error('a draft with a host is exported');
    await whileAttached(endpoint, HOST, async (device) => {
      for (const at of written.slice(0, 4)) await device.write(at * MIB, clusterOf(content, at));
    });
    await listed('n1', ({ state, uuid }) => state === 'writing' && uuid === draft);
    // The same operation gets its draft again, after a crash of its node too.
    await e2e.cluster.kill('n1/target');
    await e2e.cluster.kill('n1');
    const again = await send('n1', 'image.create-copy', input, { operation });
    expect(again).toEqual({ lvolUuid: draft, sizeBytes: SIZE_BYTES, endpoint });
    await listed('n1', ({ state, presence }) => state === 'writing' && presence === 'present');
    await whileAttached(endpoint, HOST, async (device) => {
      for (const at of written) await device.write(at * MIB, clusterOf(content, at));
      expect((await readAll(device)).equals(content)).toBe(true);
    });
    const sealed = await send('n1', 'image.seal-copy', copy);
    expect(sealed).toMatchObject({
      ...{ sizeBytes: SIZE_BYTES, allocatedBytes: written.length * MIB },
    });
    await expect(whileAttached(endpoint, HOST, readAll)).rejects.toBeInstanceOf(Error);
    for (const hostNqn of ['nqn.2026-11.io.lariat:one', 'nqn.2026-11.io.lariat:two']) {
      const exported = await send('n1', 'image.export-copy', { ...copy, hostNqn });
      await whileAttached(exported, hostNqn, async (device) => {
        expect((await readAll(device)).equals(content)).toBe(true);
        await expect(device.write(0, randomBytes(4096))).rejects.toBeInstanceOf(Error);
        await expect(device.writeZeroes(MIB, MIB)).rejects.toBeInstanceOf(Error);
      });
      await send('n1', 'image.unexport-copy', { ...copy, hostNqn });
    }
    expect(await send('n1', 'image.digest-copy', { ...copy, reread: true })).toEqual({
      ...{ sha256: root, sizeBytes: SIZE_BYTES },
    });
    // The disk is as dirty as it was: what was read as zeros is not so because somebody cleared it all.
    expect(readFileSync(disks.get('n1')?.path ?? '').includes(OLD)).toBe(true);
  });

  it('is what replicas start from, at once and for nothing, with zeros past its end', async () => {
    const copy = copyOn('n1');
    for (const [name, sizeBytes] of [
      ['same', SIZE_BYTES],
      ['larger', 2 * SIZE_BYTES],
    ] as const) {
      const [replica, volume] = [newReplicaId(), newVolumeId()];
      replicas.set(name, replica);
      await send('n1', 'replica.create', { ...copy, replica, volume, sizeBytes });
      const read = await send('n1', 'replica.checksum', { replica, volume, snapshot: null });
      const tail = Buffer.alloc(sizeBytes - SIZE_BYTES);
      expect(read).toEqual({ sha256: sha256(content, tail), sizeBytes });
    }
    await listed('n1', ({ clones }) => clones === 2);
    const refused = send('n1', 'replica.create', {
      ...{ ...copy, replica: newReplicaId(), volume: newVolumeId(), sizeBytes: SIZE_BYTES - MIB },
    });
    await expect(refused).rejects.toMatchObject({ code: 'SIZE_TOO_SMALL' });
  });

  it('spreads to two nodes at once, while replicas go on being made of it', async () => {
    const source = copyOn('n1');
    const fetched = ['n2', 'n3'].map(async (node) => {
      const copy = copyOn(node);
      const hostNqn = imageFetchHostNqn(image, copy.disk);
      const input = { ...copy, sizeBytes: SIZE_BYTES, hostNqn: null };
      expect(await send(node, 'image.create-copy', input)).toMatchObject({ endpoint: null });
      const from = await send('n1', 'image.export-copy', { ...source, hostNqn });
      let copiedClusters = 0;
      for (const first of [0, 16]) {
        const clusters = page(first, Math.min(16, CLUSTERS - first));
        const fetch = { ...copy, source: from, firstCluster: first, digests: clusters };
        copiedClusters += (await send(node, 'image.fetch-copy', fetch)).copiedClusters;
      }
      expect(copiedClusters).toBe(written.length);
      await send('n1', 'image.unexport-copy', { ...source, hostNqn });
      const sealed = await send(node, 'image.seal-copy', copy);
      expect(sealed.allocatedBytes).toBe(written.length * MIB);
      return send(node, 'image.digest-copy', { ...copy, reread: true });
    });
    const [replica, volume] = [newReplicaId(), newVolumeId()];
    await send('n1', 'replica.create', { ...source, replica, volume, sizeBytes: SIZE_BYTES });
    await send('n1', 'replica.delete', { replica, volume });
    for (const answer of await Promise.all(fetched))
      expect(answer).toEqual({ sha256: root, sizeBytes: SIZE_BYTES });
    const pages = await send('n2', 'image.read-digests', {
      ...{ ...copyOn('n2'), firstCluster: 5, clusters: 7 },
    });
    expect(pages.digests).toBe(page(5, 7));
  });

  it('is what a rebuilt replica stands on, of which nothing is copied again', async () => {
    const [replica, volume] = [newReplicaId(), newVolumeId()];
    const on = (node: string, sizeBytes = 2 * SIZE_BYTES) => ({
      ...{ ...copyOn(node), replica, volume, sizeBytes },
    });
    await send('n1', 'replica.create', on('n1'));
    const leg = { replica, volume, epoch: 1 };
    const endpoint = await send('n1', 'replica.export', { ...leg, hostNqns: [HOST] });
    const data = randomBytes(4096);
    await whileAttached(endpoint, HOST, async (device) => {
      // Within a cluster of the image, within one that was zeros, and past its end.
      for (const at of [0, 1, CLUSTERS + 1]) await device.write(at * MIB + 8192, data);
      await device.flush();
    });
    await send('n1', 'replica.unexport', leg);
    const snapshot = 'snap-000000000001';
    await send('n1', 'snapshot.create', { replica, volume, snapshot });
    const scratch = await send('n2', 'rebuild.create-scratch', {
      ...{ ...on('n2'), parent: null, hostNqn: nodeHostNqn('n1') },
    });
    const copied = await send('n1', 'rebuild.copy-snapshot', {
      ...{ replica, volume, snapshot, parent: null, image, scratch },
    });
    expect(copied).toEqual({ copiedClusters: 3 });
    const detach = { replica, volume, scratchNqn: scratch.nqn };
    await send('n1', 'rebuild.detach-scratch', detach);
    await send('n2', 'rebuild.freeze-scratch', { replica, volume, snapshot });
    const sums = await Promise.all(
      ['n1', 'n2'].map((node) => send(node, 'replica.checksum', { replica, volume, snapshot })),
    );
    const expected = Buffer.concat([content, Buffer.alloc(SIZE_BYTES)]);
    for (const at of [0, 1, CLUSTERS + 1]) data.copy(expected, at * MIB + 8192);
    const sum = { sha256: sha256(expected), sizeBytes: 2 * SIZE_BYTES };
    expect(sums).toEqual([sum, sum]);
    await listed('n2', ({ clones }) => clones === 1);
    // The replica goes, the copies stay as they were.
    for (const node of ['n1', 'n2']) {
      await send(node, 'replica.delete', { replica, volume });
      expect(await send(node, 'image.digest-copy', { ...copyOn(node), reread: true })).toEqual({
        ...{ sha256: root, sizeBytes: SIZE_BYTES },
      });
    }
  });

  it('is the same after its node crashed, and is not deleted while a replica stands on it', async () => {
    const copy = copyOn('n1');
    await listed('n1', ({ clones, state }) => clones === 2 && state === 'sealed');
    const before = inventories.get('n1')?.images;
    await e2e.cluster.kill('n1/target');
    await e2e.cluster.kill('n1');
    expect(await send('n1', 'image.digest-copy', { ...copy, reread: true })).toEqual({
      ...{ sha256: root, sizeBytes: SIZE_BYTES },
    });
    inventories.delete('n1');
    await listed('n1', ({ presence }) => presence === 'present');
    expect(inventories.get('n1')?.images).toEqual(before);
    await expect(send('n1', 'image.delete-copy', copy)).rejects.toMatchObject({
      code: 'IMAGE_COPY_IN_USE',
      details: { replicas: expect.arrayContaining([...replicas.values()]) as unknown },
    });
    for (const replica of replicas.values())
      await send('n1', 'replica.delete', { replica, volume: newVolumeId() });
    await listed('n1', ({ clones }) => clones === 0);
  });

  it('leaves nothing on the disks when it is deleted', async () => {
    for (const [node, { id: disk }] of disks) {
      await expect(e2e.client.request('disk.remove', { node, disk })).rejects.toMatchObject({
        code: 'DISK_IN_USE',
      });
      await send(node, 'image.delete-copy', { image, disk });
      // Refused while there is an lvol in its store, of ours or not.
      await e2e.client.request('disk.remove', { node, disk });
    }
    expect(await e2e.leftovers()).toEqual([]);
  });
});
