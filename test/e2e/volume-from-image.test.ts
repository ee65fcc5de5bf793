import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ImageView,
  type RebuiltVolumeView,
  type VolumeView,
  hasCode,
} from '@lariat/contracts';
import { MIB, delay, toLariatError } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const CLUSTERS = 8;
/** Not a whole number of clusters. */
const CONTENT_BYTES = CLUSTERS * MIB - 4_567;
const IMAGE_BYTES = CLUSTERS * MIB;
const SIZE_BYTES = 12 * MIB;
/** Of its clusters two are zeros throughout. */
const DATA_BYTES = IMAGE_BYTES - 2 * MIB;

function newContent(): Buffer {
  const content = randomBytes(CONTENT_BYTES);
  content.fill(0, 2 * MIB, 4 * MIB);
  return content.fill(0, 5 * MIB + 4096, 5 * MIB + 900_000);
}

/** What a device of that size with the content holds. */
const sumOf = (content: Buffer, sizeBytes: number): string =>
  createHash('sha256')
    .update(content)
    .update(Buffer.alloc(sizeBytes - content.length))
    .digest('hex');

describe('volumes that are made from an image', () => {
  const content = newContent();
  /** What volume `large` holds. */
  const large = Buffer.concat([content, Buffer.alloc(SIZE_BYTES - CONTENT_BYTES)]);
  const folder = mkdtempSync(join(tmpdir(), 'lariat-volume-image-'));
  let e2e: E2eCluster;
  let image: ImageView;

  beforeAll(async () => {
    e2e = await startE2e();
    const path = join(folder, 'disk.raw');
    writeFileSync(path, content);
    image = await e2e.client.request(
      'image.create',
      { name: 'debian', source: { file: { path } }, minimumCopies: 1 },
      { timeoutMs: 60_000 },
    );
  });
  afterAll(async () => {
    await e2e.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const get = (volume: string): Promise<VolumeView> => e2e.client.request('volume.get', { volume });
  /** The one content that all replicas have, of a detached volume or a snapshot. */
  async function sum(volume: string, snapshot?: string): Promise<string> {
    const { identical, replicas } = await e2e.client.request('replica.checksum', {
      volume,
      ...(snapshot === undefined ? {} : { snapshot }),
    });
    expect(identical).toBe(true);
    return replicas[0]?.sha256 ?? '';
  }
  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'ok',
      (error: unknown) => toLariatError(error).code,
    );
  /** Nodes that have a copy of the image. */
  const nodesWithCopy = async (): Promise<readonly string[]> => {
    const { copies } = await e2e.client.request('image.get', { image: image.id });
    return copies.flatMap(({ node, state }) => (state === 'ready' ? node : [])).toSorted();
  };
  async function change(volume: Buffer, name: string, at: number): Promise<void> {
    const device = await e2e.open(name);
    const data = randomBytes(8192);
    await device.write(at, data);
    await device.flush();
    await device.close();
    data.copy(volume, at);
  }

  it('have its content, and zeros past its end', async () => {
    expect(image).toMatchObject({ state: 'ready', sizeBytes: IMAGE_BYTES });
    const same = await e2e.client.request('volume.create', {
      ...{ name: 'same', image: 'debian', replicas: 2 },
    });
    expect(same).toMatchObject({
      ...{ image: image.id, sizeBytes: IMAGE_BYTES, state: 'detached', robustness: 'healthy' },
      content: { state: 'foreign' },
    });
    expect(await sum('same')).toBe(sumOf(content, IMAGE_BYTES));
    const larger = await e2e.client.request('volume.create', {
      ...{ name: 'large', image: image.id, sizeBytes: SIZE_BYTES - 1, replicas: 2 },
    });
    expect(larger).toMatchObject({ image: image.id, sizeBytes: SIZE_BYTES });
    expect(await sum('large')).toBe(sumOf(content, SIZE_BYTES));
    // Both went where the image is: two copies are enough for four replicas.
    const nodes = [same, larger].map(({ replicas }) => replicas.map(({ node }) => node).toSorted());
    expect(nodes).toEqual([await nodesWithCopy(), await nodesWithCopy()]);
    const { disks } = await e2e.client.request('disk.list', {});
    expect(disks.flatMap(({ node, images }) => (images === 1 ? node : [])).toSorted()).toEqual(
      await nodesWithCopy(),
    );
    expect(disks.reduce((bytes, { scheduledBytes }) => bytes + scheduledBytes, 0)).toBe(
      2 * (IMAGE_BYTES + SIZE_BYTES) + 2 * IMAGE_BYTES,
    );
  });

  it('are refused when they are too small, or the image is not there, and leave nothing', async () => {
    const create = { name: 'no', replicas: 1 };
    const ask = (body: object): Promise<string> =>
      codeOf(e2e.client.request('volume.create', { ...create, ...body }));
    expect(await ask({ image: 'debian', sizeBytes: 7 * MIB })).toBe('SIZE_TOO_SMALL');
    expect(await ask({ image: 'nothing' })).toBe('IMAGE_NOT_FOUND');
    expect(await ask({ image: 'debian', source: { volume: 'same' } })).toBe('REQUEST_INVALID');
    expect(await codeOf(get('no'))).toBe('VOLUME_NOT_FOUND');
  });

  it('keep their image from being deleted', async () => {
    const refused = e2e.client.request('image.delete', { image: 'debian' });
    await expect(refused).rejects.toMatchObject({
      code: 'IMAGE_IN_USE',
      message: expect.stringMatching(/'same'.*'large'|'large'.*'same'/) as unknown,
    });
    expect(await e2e.client.request('image.get', { image: 'debian' })).toMatchObject({
      state: 'ready',
    });
    await e2e.client.request('volume.delete', { volume: 'same' });
  });

  it('are copied whole where the image does not fit, and wherever such a replica is copied to', async () => {
    const { client } = e2e;
    const made = await client.request('volume.create', {
      ...{ name: 'alone', image: 'debian', sizeBytes: SIZE_BYTES, replicas: 1 },
    });
    const withCopy = await nodesWithCopy();
    const { disks } = await client.request('disk.list', {});
    const free = disks.find(({ node }) => !withCopy.includes(node));
    if (free === undefined) throw new Error('a node has no copy');
    const { node, id: disk, capacityBytes } = free;
    const reserve = (reservedBytes: number): Promise<unknown> =>
      client.request('disk.update', { node, disk, reservedBytes });
    const move = async (toNode: string): Promise<RebuiltVolumeView> => {
      const [replica] = (await get('alone')).replicas;
      const asked = { volume: 'alone', replica: replica?.id ?? '', toNode };
      return (await client.request('replica.move', asked, {
        timeoutMs: 60_000,
      })) as RebuiltVolumeView;
    };
    await reserve(capacityBytes - SIZE_BYTES - IMAGE_BYTES / 2);
    expect((await move(node)).rebuilt).toMatchObject({ node, copiedBytes: DATA_BYTES });
    expect(await nodesWithCopy()).toEqual(withCopy);
    await reserve(0);
    const [back] = made.replicas;
    expect((await move(back?.node ?? '')).rebuilt).toMatchObject({ copiedBytes: DATA_BYTES });
    expect(await sum('alone')).toBe(sumOf(content, SIZE_BYTES));
    // It names the image still: that it does not stand on it costs nobody anything.
    expect(await client.request('volume.delete', { volume: 'alone' })).toMatchObject({
      image: image.id,
    });
  });

  it('are rebuilt, moved and given more replicas on copies of the image, of which nothing is copied again', async () => {
    const { replicas } = await get('large');
    const [first, second] = replicas;
    if (first === undefined || second === undefined) throw new Error('it has two');
    const third = ['n1', 'n2', 'n3'].find(
      (node) => node !== first.node && node !== second.node,
    ) as string;
    await e2e.client.request('volume.attach', {
      ...{ volume: 'large', node: first.node, frontend: 'nbd' },
    });
    await change(large, 'large', 4096);
    await e2e.client.request('snapshot.create', { volume: 'large', snapshot: 's1' });
    const s1 = Buffer.from(large);
    await change(large, 'large', 3 * MIB);

    // To the node that has no copy yet: it is fetched first.
    const moved = (await e2e.client.request(
      'replica.move',
      { volume: 'large', replica: second.id, toNode: third },
      { timeoutMs: 60_000 },
    )) as RebuiltVolumeView;
    expect(moved.rebuilt).toMatchObject({ node: third, copiedBytes: 2 * MIB });
    expect(await nodesWithCopy()).toEqual(['n1', 'n2', 'n3']);
    await e2e.client.request(
      'volume.update',
      { volume: 'large', replicas: 3 },
      { timeoutMs: 60_000 },
    );
    const back = (await get('large')).replicas.find(({ node }) => node === second.node);
    await e2e.client.request('replica.remove', { volume: 'large', replica: back?.id ?? '' });
    const rebuilt = await e2e.client.request(
      'replica.rebuild',
      { volume: 'large' },
      { timeoutMs: 60_000 },
    );
    expect(rebuilt).toMatchObject({
      robustness: 'healthy',
      rebuilt: { node: second.node, copiedBytes: 2 * MIB },
    });
    expect(await sum('large', 's1')).toBe(sumOf(s1, SIZE_BYTES));
    await e2e.client.request('volume.detach', { volume: 'large' });
    expect(await sum('large')).toBe(sumOf(large, SIZE_BYTES));
    await e2e.client.request('volume.expand', { volume: 'large', sizeBytes: 14 * MIB });
    expect(await sum('large')).toBe(sumOf(large, 14 * MIB));
    await e2e.client.request('snapshot.revert', { volume: 'large', snapshot: 's1' });
    s1.copy(large);
    expect(await sum('large')).toBe(sumOf(s1, 14 * MIB));
    // A second tree of snapshots, whose lowest stands on the image too once the first is gone.
    await e2e.client.request('snapshot.delete', { volume: 'large', snapshot: 's1' });
    expect(await sum('large')).toBe(sumOf(s1, 14 * MIB));
  });

  it('take up what a replica that comes back still has', async () => {
    const { replicas } = await get('large');
    await e2e.client.request('volume.attach', { volume: 'large', node: 'n1', frontend: 'nbd' });
    const lost = replicas.find(({ node }) => node !== 'n1');
    if (lost === undefined) throw new Error('it has three');
    await e2e.cluster.killNode(lost.node);
    await until('the replica to be lost', 30_000, async () =>
      (await get('large')).robustness === 'degraded' ? true : undefined,
    );
    await change(large, 'large', 6 * MIB);
    await e2e.cluster.startNode(lost.node);
    const rebuilt = await until('it to be brought up to date', 60_000, async () => {
      try {
        return await e2e.client.request(
          'replica.rebuild',
          { volume: 'large' },
          { timeoutMs: 60_000 },
        );
      } catch (error) {
        // Not heard of again yet, and there is no other node.
        if (hasCode(error, 'NOT_ENOUGH_NODES', 'NODE_NOT_READY')) return undefined;
        throw error;
      }
    });
    expect(rebuilt.rebuilt).toMatchObject({ replica: lost.id, reused: true, copiedBytes: MIB });
    await e2e.client.request('volume.detach', { volume: 'large' });
    expect(await sum('large')).toBe(sumOf(large, 14 * MIB));
  });

  it('have clones that use the image too, for as long as these are there', async () => {
    const before = await sum('large');
    await e2e.client.request('volume.update', { volume: 'large', replicas: 2 });
    // Two replicas share with the source, the third is copied: onto the image.
    const clone = await e2e.client.request(
      'volume.create',
      { name: 'twin', source: { volume: 'large' }, replicas: 3 },
      { timeoutMs: 60_000 },
    );
    expect(clone).toMatchObject({ image: image.id, robustness: 'healthy' });
    expect(await sum('twin')).toBe(before);
    await e2e.client.request('volume.delete', { volume: 'large' });
    await expect(e2e.client.request('image.delete', { image: 'debian' })).rejects.toMatchObject({
      code: 'IMAGE_IN_USE',
    });
    expect(await sum('twin')).toBe(before);
    const [one] = (await get('twin')).replicas;
    await e2e.client.request('replica.remove', { volume: 'twin', replica: one?.id ?? '' });
    const rebuilt = await e2e.client.request(
      'replica.rebuild',
      { volume: 'twin' },
      { timeoutMs: 60_000 },
    );
    // What the source wrote, and not what the image has.
    expect(rebuilt.rebuilt.copiedBytes).toBeLessThan(IMAGE_BYTES / 2);
    expect(await sum('twin')).toBe(before);
    await e2e.client.request('volume.delete', { volume: 'twin' });
  });

  it('are not made of an image that is deleted at the same time, or keep it', async () => {
    const { client } = e2e;
    const outcomes: string[] = [];
    for (let round = 0; round < 12; round += 1) {
      const name = `race-${round}`;
      const source = { file: { path: join(folder, 'disk.raw') } };
      await client.request('image.create', { name, source }, { timeoutMs: 60_000 });
      // Each time a little later in the life of the creation.
      const [created, deleted] = await Promise.all([
        codeOf(client.request('volume.create', { name, image: name, replicas: 2 })),
        delay(8 * round).then(() => codeOf(client.request('image.delete', { image: name }))),
      ]);
      outcomes.push(`${created} ${deleted}`);
      // One of them wins, never both, never none.
      expect(['ok IMAGE_IN_USE', 'IMAGE_NOT_READY ok', 'IMAGE_NOT_FOUND ok']).toContain(
        `${created} ${deleted}`,
      );
      if (created !== 'ok') continue;
      expect(await sum(name)).toBe(sumOf(content, IMAGE_BYTES));
      await client.request('volume.delete', { volume: name });
      await client.request('image.delete', { image: name });
    }
    // Deleted at once it is gone; long after the volume has it, it stays.
    expect(outcomes.at(-1)).toBe('ok IMAGE_IN_USE');
  });

  it('leave nothing but the image, and nothing when that is deleted', async () => {
    const { disks } = await e2e.client.request('disk.list', {});
    expect(
      disks.map(({ replicas, scheduledBytes, images }) => [replicas, scheduledBytes, images]),
    ).toEqual(disks.map(() => [0, IMAGE_BYTES, 1]));
    await e2e.client.request('image.delete', { image: 'debian' });
    expect(await codeOf(e2e.client.request('volume.create', { name: 'x', image: 'debian' }))).toBe(
      'IMAGE_NOT_FOUND',
    );
    expect(await e2e.leftovers()).toEqual([]);
  });
});
