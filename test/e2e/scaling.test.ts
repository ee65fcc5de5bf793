import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e } from './e2e-cluster.js';

const SIZE_BYTES = 16 * MIB;
const LONG = { timeoutMs: 60_000 };

describe('replicas that come, go and move', () => {
  let e2e: E2eCluster;
  let device: Awaited<ReturnType<E2eCluster['open']>>;
  const model = Buffer.alloc(SIZE_BYTES);
  beforeAll(async () => {
    e2e = await startE2e({ nodes: 4 });
    const { client } = e2e;
    await client.request('volume.create', { name: 'v', sizeBytes: SIZE_BYTES, replicas: 1 });
    await client.request('volume.attach', { volume: 'v', node: 'n1', frontend: 'nbd' });
    device = await e2e.open('v');
  });
  afterAll(async () => {
    await e2e.stop();
  });

  /** Does the work while a client writes; what it reads afterwards must be what it wrote. */
  const underLoad = async <T>(work: () => Promise<T>): Promise<T> => {
    let writing = true;
    const writer = (async () => {
      while (writing) {
        const offset = Math.floor(Math.random() * (SIZE_BYTES / 4096 - 8)) * 4096;
        const data = randomBytes(4096 * 8);
        await device.write(offset, data);
        data.copy(model, offset);
      }
    })();
    try {
      return await work();
    } finally {
      writing = false;
      await writer;
      expect((await device.read(0, SIZE_BYTES)).equals(model)).toBe(true);
    }
  };
  const volume = () => e2e.client.request('volume.get', { volume: 'v' });

  it('are as many as asked for, while the volume is used', async () => {
    const { client } = e2e;
    await underLoad(() => Promise.resolve());
    await client.request('snapshot.create', { volume: 'v', snapshot: 's' });
    for (const replicas of [3, 2, 1, 2]) {
      const scaled = await underLoad(() =>
        client.request('volume.update', { volume: 'v', replicas }, LONG),
      );
      expect(scaled).toMatchObject({ replicaCount: replicas, robustness: 'healthy' });
      expect(scaled.replicas.map(({ mode }) => mode)).toEqual(Array(replicas).fill('RW'));
      expect(new Set(scaled.replicas.map(({ node }) => node)).size).toBe(replicas);
    }
  });

  it('stay as many as they were when there is no place for more', async () => {
    const before = await volume();
    await expect(
      e2e.client.request('volume.update', { volume: 'v', replicas: 5 }, LONG),
    ).rejects.toMatchObject({ code: 'NOT_ENOUGH_NODES' });
    const after = await volume();
    expect(after).toMatchObject({ replicaCount: 2, robustness: 'healthy', operation: null });
    expect(after.replicas).toHaveLength(before.replicas.length);
  });

  it('move to another node, the one beside the engine as well, with no moment of less', async () => {
    const { client } = e2e;
    for (let round = 0; round < 2; round += 1) {
      const { replicas } = await volume();
      const moved = replicas[round];
      if (moved === undefined) throw new Error('two replicas were made');
      const used = new Set(replicas.map(({ node }) => node));
      const to = ['n1', 'n2', 'n3', 'n4'].find((node) => !used.has(node)) ?? '';
      const request = { volume: 'v', replica: moved.id, toNode: to };
      expect(await client.request('replica.move', { ...request, dryRun: true })).toMatchObject({
        dryRun: true,
      });
      const after = await underLoad(() => client.request('replica.move', request, LONG));
      expect(after).toMatchObject({ robustness: 'healthy', replicaCount: 2 });
      const seen = await volume();
      expect(seen.replicas.map(({ node }) => node)).toContain(to);
      expect(seen.replicas.map(({ id }) => id)).not.toContain(moved.id);
      expect(seen.replicas).toHaveLength(2);
    }
  });

  it('move to another disk of their node', async () => {
    const { client } = e2e;
    const [moved] = (await volume()).replicas;
    if (moved === undefined) throw new Error('the volume has no replica');
    await client.request('disk.add', {
      node: moved.node,
      path: join(e2e.cluster.paths.dataDir, 'second.img'),
      name: 'd2',
      sizeBytes: 256 * MIB,
    });
    await underLoad(() =>
      client.request(
        'replica.move',
        { volume: 'v', replica: moved.id, toNode: moved.node, toDisk: 'd2' },
        LONG,
      ),
    );
    const { replicas } = await volume();
    expect(replicas.filter(({ node }) => node === moved.node)).toHaveLength(1);
    expect(replicas.map(({ disk }) => disk)).not.toContain(moved.disk);
    await expect(
      client.request('replica.move', { volume: 'v', replica: moved.id }),
    ).rejects.toMatchObject({ code: 'REPLICA_NOT_FOUND' });
  });

  it('are all the same in the end, and leave nothing where they were', async () => {
    const { client } = e2e;
    await device.close();
    await client.request('volume.detach', { volume: 'v' });
    for (const snapshot of ['s', undefined]) {
      const sums = await client.request('replica.checksum', {
        volume: 'v',
        ...(snapshot === undefined ? {} : { snapshot }),
      });
      expect(sums).toMatchObject({ identical: true });
      expect(sums.replicas).toHaveLength(2);
    }
    // A detached one is scaled and moved as well.
    await client.request('volume.update', { volume: 'v', replicas: 3 }, LONG);
    const [moved] = (await volume()).replicas;
    await client.request('replica.move', { volume: 'v', replica: moved?.id ?? '' }, LONG);
    const sums = await client.request('replica.checksum', { volume: 'v' });
    expect(sums).toMatchObject({ identical: true });
    expect(sums.replicas).toHaveLength(3);
    await client.request('volume.delete', { volume: 'v' });
    expect(await e2e.leftovers()).toEqual([]);
  });
});
