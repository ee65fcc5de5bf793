import { createHash, randomBytes } from 'node:crypto';
import { type ImageView, type SnapshotView, hasCode } from '@lariat/contracts';
import { MIB, delay } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';
import { nodeCommands } from './node-commands.js';
import { slowDown } from './slowed-process.js';

const SIZE_BYTES = 16 * MIB;
const BLOCK = 4096;
/** Larger are refused. */
const MAX_BYTES = 300 * MIB;

const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

describe('images of volumes', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e({
      env: {
        ...process.env,
        ...{ LARIAT_REBUILD: 'manual', LARIAT_IMAGE_MAX_BYTES: String(MAX_BYTES) },
      },
    });
  });
  afterAll(async () => {
    await e2e.stop();
  });

  type Device = Awaited<ReturnType<E2eCluster['open']>>;
  const withVolume = async <T>(
    volume: string,
    node: string,
    work: (device: Device) => Promise<T>,
  ): Promise<T> => {
    await e2e.client.request('volume.attach', { volume, node, frontend: 'nbd' });
    const device = await e2e.open(volume);
    try {
      return await work(device);
    } finally {
      await device.close();
      await e2e.client.request('volume.detach', { volume });
    }
  };
  const contentOf = (volume: string, node = 'n2'): Promise<Buffer> =>
    withVolume(volume, node, (device) => device.read(0, device.sizeBytes));
  const snapshots = async (volume: string): Promise<readonly SnapshotView[]> =>
    (await e2e.client.request('snapshot.list', { volume })).snapshots;
  /** What an import has taken for itself goes by itself, and nothing stands on the volume's record. */
  const expectGivenBack = async (volume: string, own: readonly string[]): Promise<void> => {
    await until('the hidden snapshot to go', 20_000, async () =>
      (await snapshots(volume)).every(({ user }) => user) ? true : undefined,
    );
    expect((await snapshots(volume)).map(({ name }) => name)).toEqual(own);
    expect((await e2e.client.request('volume.get', { volume })).clones).toEqual([]);
  };
  const imageOf = (
    name: string,
    source: { readonly volume: string; readonly snapshot?: string },
    more: object = {},
  ): Promise<ImageView> =>
    e2e.client.request('image.create', { name, source, minimumCopies: 1, ...more });

  /** Clusters of zeros, and a beginning that looks like a gzip file: neither may matter. */
  function newContent(): Buffer {
    const content = randomBytes(SIZE_BYTES);
    content.fill(0, 3 * MIB, 9 * MIB);
    Buffer.from([0x1f, 0x8b, 8, 0]).copy(content);
    return content;
  }

  it('have the content of a volume and of its snapshots, and volumes made from them read the same', async () => {
    const { client } = e2e;
    await client.request('volume.create', { name: 'gold', sizeBytes: SIZE_BYTES, replicas: 2 });
    const first = newContent();
    const second = Buffer.from(first);
    randomBytes(2 * MIB).copy(second, 5 * MIB);
    await withVolume('gold', 'n1', async (device) => {
      // Nothing is written where zeros are: they are no data there.
      await device.write(0, first.subarray(0, 3 * MIB));
      await device.write(9 * MIB, first.subarray(9 * MIB));
      await client.request('snapshot.create', { volume: 'gold', snapshot: 'before' });
      await device.write(5 * MIB, second.subarray(5 * MIB, 7 * MIB));
    });
    const now = await imageOf('gold-now', { volume: 'gold' });
    const { id } = await client.request('volume.get', { volume: 'gold' });
    expect(now).toMatchObject({
      ...{ state: 'ready', format: 'raw', sizeBytes: SIZE_BYTES, allocatedBytes: 12 * MIB },
      source: { volume: { id, name: 'gold', snapshot: null } },
    });
    expect(now.checksums).toContain(`sha256:${sha256(second)}`);
    const checksum = `sha256:${sha256(first)}`;
    const before = await imageOf('gold-before', { volume: id, snapshot: 'before' }, { checksum });
    expect(before).toMatchObject({ state: 'ready', allocatedBytes: 10 * MIB });
    expect(before.source).toMatchObject({ volume: { name: 'gold@before' } });
    expect(before.checksums).toContain(checksum);
    for (const [image, content] of [
      ['gold-now', second],
      ['gold-before', first],
    ] as const) {
      const name = `of-${image}`;
      await client.request('volume.create', { name, image, replicas: 2 });
      expect((await contentOf(name)).equals(content)).toBe(true);
    }
    await expectGivenBack('gold', ['before']);
    await client.request('snapshot.delete', { volume: 'gold', snapshot: 'before' });
    expect((await contentOf('gold', 'n3')).equals(second)).toBe(true);
  });

  it('of a volume in use hold one moment of it', async () => {
    const { client } = e2e;
    await client.request('volume.create', { name: 'live', sizeBytes: SIZE_BYTES, replicas: 3 });
    const blocks = SIZE_BYTES / BLOCK;
    await withVolume('live', 'n1', async (device) => {
      let isWriting = true;
      let written = 0;
      // One block after the other, round and round, each with the number of its write.
      const writer = (async () => {
        for (; isWriting; written += 1) {
          const data = Buffer.alloc(BLOCK);
          data.writeUInt32LE(written + 1);
          await device.write((written % blocks) * BLOCK, data);
        }
      })();
      await until('some writes', 20_000, () => Promise.resolve(written > 50 ? true : undefined));
      const least = written;
      const image = await imageOf('of-live', { volume: 'live' });
      const most = written;
      isWriting = false;
      await writer;
      // Which write was the last before the snapshot can't be known; that none is missing before it can.
      await client.request('volume.create', { name: 'from-live', image: 'of-live', replicas: 1 });
      const content = await contentOf('from-live');
      expect(image.checksums).toContain(`sha256:${sha256(content)}`);
      const numbers = Array.from({ length: blocks }, (_, at) => content.readUInt32LE(at * BLOCK));
      const last = Math.max(...numbers);
      expect(last).toBeGreaterThanOrEqual(least);
      expect(last).toBeLessThanOrEqual(most + 1);
      const expected = Array.from({ length: blocks }, (_, at) => {
        const latest = last - 1 - ((last - 1 - at) % blocks);
        return at <= last - 1 ? latest + 1 : 0;
      });
      expect(numbers).toEqual(expected);
    });
    await expectGivenBack('live', []);
  });

  it('are refused, each with its reason, where there is nothing to read, and leave nothing', async () => {
    const { client } = e2e;
    await expect(imageOf('bad', { volume: 'nobody' })).rejects.toMatchObject({
      code: 'VOLUME_NOT_FOUND',
    });
    await expect(imageOf('bad', { volume: 'gold', snapshot: 'no' })).rejects.toMatchObject({
      code: 'SNAPSHOT_NOT_FOUND',
    });
    await expect(
      imageOf('bad', { volume: 'gold', url: 'https://images/x' } as never),
    ).rejects.toMatchObject({ code: 'IMAGE_SOURCE_INVALID' });
    await expect(
      client.request('image.create', { name: 'bad', source: { snapshot: 's' } }),
    ).rejects.toMatchObject({ code: 'IMAGE_SOURCE_INVALID' });
    await expect(imageOf('bad', { volume: 'gold' }, { format: 'qcow2' })).rejects.toMatchObject({
      code: 'IMAGE_SOURCE_INVALID',
    });
    await expect(
      imageOf('bad', { volume: 'gold' }, { checksum: `sha256:${'0'.repeat(64)}` }),
    ).rejects.toMatchObject({ code: 'IMAGE_CHECKSUM_MISMATCH' });
    expect(await client.request('image.get', { image: 'bad' })).toMatchObject({
      ...{ state: 'failed', copies: [], operation: null },
    });
    await client.request('image.delete', { image: 'bad' });
    await expectGivenBack('gold', []);
  });

  it('keep the snapshot, and the volume, from deletion while it is read, and let go when they are cancelled', async () => {
    const { client } = e2e;
    await client.request('volume.create', { name: 'big', sizeBytes: 256 * MIB, replicas: 2 });
    await client.request('snapshot.create', { volume: 'big', snapshot: 'kept' });
    const begun = await client.request('image.create', {
      ...{ name: 'of-big', source: { volume: 'big', snapshot: 'kept' }, wait: false },
    });
    const { id } = (begun as unknown as { operation: { id: string } }).operation;
    await until('the snapshot to be kept for it', 20_000, async () => {
      const { clones } = await client.request('volume.get', { volume: 'big' });
      return clones.length === 1 ? true : undefined;
    });
    await expect(
      client.request('snapshot.delete', { volume: 'big', snapshot: 'kept' }),
    ).rejects.toMatchObject({
      ...{ code: 'SNAPSHOT_IN_USE' },
      message: expect.stringContaining("image 'of-big'") as string,
    });
    await expect(client.request('volume.delete', { volume: 'big' })).rejects.toMatchObject({
      ...{ code: 'CLONE_IN_PROGRESS' },
      message: expect.stringContaining("image 'of-big'") as string,
    });
    await client.request('operation.cancel', { operation: id });
    const ended = await client.request('operation.wait', { operation: id, timeoutMs: 60_000 });
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'OPERATION_CANCELLED' } });
    await expect(client.request('image.get', { image: 'of-big' })).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    });
    await client.request('snapshot.delete', { volume: 'big', snapshot: 'kept' });
    await client.request('volume.delete', { volume: 'big' });
  });

  it('are refused where the volume is too large', async () => {
    const { client } = e2e;
    const sizeBytes = MAX_BYTES + MIB;
    await client.request('volume.create', { name: 'huge', sizeBytes, replicas: 1 });
    await expect(imageOf('bad', { volume: 'huge' })).rejects.toMatchObject({
      code: 'IMAGE_TOO_LARGE',
    });
    await client.request('image.delete', { image: 'bad' });
    await expectGivenBack('huge', []);
    await client.request('volume.delete', { volume: 'huge' });
  });

  it('are read where the volume has data, over all of its snapshots, and from no export that stays', async () => {
    const { client, connection } = e2e;
    const sizeBytes = 128 * MIB;
    const { id, replicas } = await client.request('volume.create', {
      ...{ name: 'thin', sizeBytes, replicas: 1 },
    });
    const content = Buffer.alloc(sizeBytes);
    await withVolume('thin', 'n1', async (device) => {
      for (const at of [0, 5 * MIB - BLOCK, 90 * MIB, sizeBytes - BLOCK]) {
        const data = randomBytes(2 * BLOCK).subarray(0, sizeBytes - at);
        data.copy(content, at);
        await device.write(at, data);
        await client.request('snapshot.create', { volume: 'thin', snapshot: `at-${at / BLOCK}` });
      }
    });
    const image = await imageOf('of-thin', { volume: 'thin' });
    expect(image.checksums).toContain(`sha256:${sha256(content)}`);
    expect(image.allocatedBytes).toBe(5 * MIB);
    // What it goes by: two writes reach into a second cluster, and one snapshot stands on the other.
    const { snapshots: all } = await client.request('snapshot.list', { volume: 'thin' });
    const newest = all.find(({ name }) => name === `at-${sizeBytes / BLOCK - 1}`);
    const [replica] = replicas;
    const hostNqn = 'nqn.2026-11.io.lariat:reader';
    const reading = { replica: replica?.id ?? '', volume: id, snapshot: newest?.id ?? '', hostNqn };
    const send = nodeCommands(connection);
    const exported = await send(replica?.node ?? '', 'snapshot.export', reading);
    expect(exported.allocatedBytes).toBe(5 * MIB);
    await send(replica?.node ?? '', 'snapshot.unexport', reading);
  });

  it('come from another replica when the node that is read is lost', async () => {
    const { client, cluster } = e2e;
    const sizeBytes = 160 * MIB;
    await client.request('volume.create', { name: 'wide', sizeBytes, replicas: 2 });
    const content = Buffer.concat(Array.from({ length: 8 }, () => randomBytes(20 * MIB)));
    await withVolume('wide', 'n1', async (device) => {
      for (let at = 0; at < sizeBytes; at += MIB)
        await device.write(at, content.subarray(at, at + MIB));
    });
    const { replicas } = await client.request('volume.get', { volume: 'wide' });
    const lost = replicas[0]?.node ?? '';
    // An import tells how far it is once a second, and on a fast machine it is over by then.
    const atFullSpeed = slowDown(await cluster.kill(`${lost}/target`, 'SIGCONT'));
    await client.request('image.create', {
      ...{ name: 'of-wide', source: { volume: 'wide' }, minimumCopies: 1, wait: false },
    });
    const read = await until('the content to be read', 30_000, async () => {
      const { operations } = await client.request('operation.list', {});
      const running = operations.find(({ kind, state }) => {
        return kind === 'image.create' && state === 'running';
      });
      return running?.step === 'import' && running.progress !== null ? running : undefined;
    });
    await cluster.killNode(lost);
    await atFullSpeed();
    try {
      const image = await until('the image to be ready', 120_000, async () => {
        const { state } = await client.request('operation.get', { operation: read.id });
        if (state === 'failed') throw new Error('the import failed');
        const now = await client.request('image.get', { image: 'of-wide' });
        return now.state === 'ready' ? now : undefined;
      });
      expect(image.checksums).toContain(`sha256:${sha256(content)}`);
      expect(image.copies.map(({ node }) => node)).not.toContain(lost);
    } finally {
      await cluster.startNode(lost);
    }
    await until('the import to have given back what it read', 60_000, async () => {
      const { state } = await client.request('operation.get', { operation: read.id });
      return state === 'succeeded' ? true : undefined;
    });
    await until('the node to be back', 60_000, async () => {
      const { state } = await client.request('node.get', { node: lost });
      return state === 'ready' ? true : undefined;
    });
    await expectGivenBack('wide', []);
  });

  it('leave nothing behind when all is deleted', async () => {
    const { client } = e2e;
    for (const { name } of (await client.request('volume.list', {})).volumes)
      await client.request('volume.delete', { volume: name });
    for (const { name } of (await client.request('image.list', {})).images)
      await until(`image ${name} to go`, 30_000, async () => {
        try {
          return await client.request('image.delete', { image: name });
        } catch (error) {
          if (!hasCode(error, 'IMAGE_IN_USE', 'OPERATION_IN_PROGRESS')) throw error;
          await delay(200);
          return undefined;
        }
      });
    expect(await e2e.leftovers()).toEqual([]);
  });
});
