import { createHash, randomBytes } from 'node:crypto';
import { findTargetSocket } from '@lariat/cli';
import { MIB } from '@lariat/kernel';
import { SpdkClient } from '@lariat/spdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 48 * MIB;
const BLOCK_BYTES = 16 * 1024;

describe('a node that dies', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e({ nodes: 4 });
  });
  afterAll(async () => {
    await e2e.stop();
  });

  it('costs no write and no byte; its replica is made anew elsewhere and swept when it returns', async () => {
    const { client } = e2e;
    const { replicas } = await client.request('volume.create', {
      name: 'v',
      sizeBytes: SIZE_BYTES,
      replicas: 3,
    });
    const [home, victim] = replicas.map(({ node }) => node);
    if (home === undefined || victim === undefined) throw new Error('three replicas were made');
    await client.request('volume.attach', { volume: 'v', node: home, frontend: 'nbd' });
    const device = await e2e.open('v');
    const model = Buffer.alloc(SIZE_BYTES);
    let writing = true;
    const writer = (async () => {
      let writes = 0;
      while (writing) {
        const offset = Math.floor(Math.random() * (SIZE_BYTES / BLOCK_BYTES)) * BLOCK_BYTES;
        const data = randomBytes(BLOCK_BYTES);
        await device.write(offset, data);
        data.copy(model, offset);
        writes += 1;
      }
      return writes;
    })();
    await client.request('snapshot.create', { volume: 'v', snapshot: 'before' });
    const killedAt = performance.now();
    await e2e.cluster.killNode(victim);
    await until('the volume to be degraded', 15_000, async () =>
      (await client.request('volume.get', { volume: 'v' })).robustness === 'degraded'
        ? true
        : undefined,
    );
    process.stderr.write(`degraded after ${Math.round(performance.now() - killedAt)} ms\n`);
    const rebuilt = await client.request('replica.rebuild', { volume: 'v' }, { timeoutMs: 60_000 });
    expect(rebuilt).toMatchObject({ robustness: 'healthy' });
    writing = false;
    expect(await writer).toBeGreaterThan(10);
    const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
    const found: Buffer[] = [];
    for await (const chunk of device.readAll(0, SIZE_BYTES)) found.push(chunk);
    expect(sha256(Buffer.concat(found))).toBe(sha256(model));
    await device.close();
    await client.request('volume.detach', { volume: 'v' });
    for (const snapshot of [undefined, 'before']) {
      const sums = await client.request('replica.checksum', {
        volume: 'v',
        ...(snapshot === undefined ? {} : { snapshot }),
      });
      expect(sums).toMatchObject({ identical: true });
      expect(sums.replicas.map(({ node }) => node)).not.toContain(victim);
    }
    await e2e.cluster.startNode(victim);
    await client.request('volume.delete', { volume: 'v' });
    expect(await e2e.leftovers(40_000)).toEqual([]);
  }, 180_000);

  it('does not stop the data path when it is NATS that dies', async () => {
    const { client } = e2e;
    await client.request('volume.create', { name: 'w', sizeBytes: 8 * MIB, replicas: 2 });
    const { attachment } = await client.request('volume.attach', {
      volume: 'w',
      node: 'n1',
      frontend: 'nbd',
    });
    expect(attachment?.node).toBe('n1');
    const device = await e2e.open('w');
    await e2e.cluster.kill('nats');
    const data = randomBytes(BLOCK_BYTES);
    for (let block = 0; block < 64; block += 1) await device.write(block * BLOCK_BYTES, data);
    expect((await device.read(63 * BLOCK_BYTES, BLOCK_BYTES)).equals(data)).toBe(true);
    await device.close();
    const view = await until('the API to answer again', 30_000, () =>
      client.request('volume.get', { volume: 'w' }, { timeoutMs: 1_000 }).catch(() => undefined),
    );
    expect(view).toMatchObject({ state: 'attached', robustness: 'healthy' });
    await until('a detach', 30_000, () =>
      client
        .request('volume.detach', { volume: 'w' }, { requestId: 'detach-w', timeoutMs: 5_000 })
        .catch(() => undefined),
    );
    await client.request('volume.delete', { volume: 'w' });
    expect(await e2e.leftovers()).toEqual([]);
  });

  it('acknowledges no write that missed a replica before that is on record', async () => {
    const { client, cluster } = e2e;
    const { replicas } = await client.request('volume.create', {
      name: 'x',
      sizeBytes: 8 * MIB,
      replicas: 2,
    });
    const [home, victim] = replicas.map(({ node }) => node);
    if (home === undefined || victim === undefined) throw new Error('two replicas were made');
    await client.request('volume.attach', { volume: 'x', node: home, frontend: 'nbd' });
    const device = await e2e.open('x');
    await device.write(0, randomBytes(BLOCK_BYTES));
    const nats = await cluster.kill('nats', 'SIGSTOP');
    let acknowledged = false;
    const data = randomBytes(BLOCK_BYTES);
    let written: Promise<void>;
    let seen: Buffer | undefined;
    let answered: Promise<void>;
    try {
      await cluster.killNode(victim);
      written = device.write(0, data).then(() => {
        acknowledged = true;
      });
      await until('the engine to go on without its dead leg', 15_000, async () => {
        const spdk = await connectTarget(cluster, home);
        const [raid] = (await spdk.call('bdev_raid_get_bdevs', { category: 'online' })) as {
          num_base_bdevs_discovered: number;
        }[];
        spdk.close();
        return raid?.num_base_bdevs_discovered === 1 ? true : undefined;
      });
      // It has landed; its answer waits for the record, and so does whoever would read it. The rest goes on.
      const reading = device.read(0, BLOCK_BYTES).then((found) => {
        seen = found;
      });
      reading.catch(() => undefined);
      await device.read(4 * BLOCK_BYTES, BLOCK_BYTES);
      expect([acknowledged, seen]).toEqual([false, undefined]);
      answered = reading;
    } finally {
      process.kill(nats, 'SIGCONT');
    }
    await Promise.all([written, answered]);
    expect(seen?.equals(data)).toBe(true);
    expect(
      await client.request('volume.get', { volume: 'x' }, { timeoutMs: 10_000 }),
    ).toMatchObject({ robustness: 'degraded' });
    await device.write(0, data);
    await device.close();
    await client.request('volume.detach', { volume: 'x' });
    await cluster.startNode(victim);
    await client.request('volume.delete', { volume: 'x' });
    expect(await e2e.leftovers(40_000)).toEqual([]);
  }, 120_000);

  it('is not counted on by the next attach when the volume is detached at once', async () => {
    const { client, cluster } = e2e;
    const { replicas } = await client.request('volume.create', {
      name: 'y',
      sizeBytes: 8 * MIB,
      replicas: 2,
    });
    const [home, victim] = replicas;
    if (home === undefined || victim === undefined) throw new Error('two replicas were made');
    await client.request('volume.attach', { volume: 'y', node: home.node, frontend: 'nbd' });
    const device = await e2e.open('y');
    const data = randomBytes(BLOCK_BYTES);
    await device.write(0, data);
    await device.close();
    await cluster.killNode(victim.node);
    const detached = await client.request('volume.detach', { volume: 'y' }, { timeoutMs: 60_000 });
    expect(detached).toMatchObject({ state: 'detached', robustness: 'degraded' });
    expect(detached.replicas.find(({ id }) => id === victim.id)).toMatchObject({ mode: 'ERR' });
    await cluster.startNode(victim.node);
    const again = { volume: 'y', node: victim.node, frontend: 'nbd' } as const;
    await until('an attach on the node that died', 20_000, () =>
      client.request('volume.attach', again).catch(() => undefined),
    );
    const after = await e2e.open('y');
    expect((await after.read(0, BLOCK_BYTES)).equals(data)).toBe(true);
    await after.close();
    await client.request('volume.detach', { volume: 'y' });
    await client.request('volume.delete', { volume: 'y' });
    expect(await e2e.leftovers(40_000)).toEqual([]);
  }, 120_000);
});

async function connectTarget(cluster: E2eCluster['cluster'], node: string): Promise<SpdkClient> {
  const socketPath = await findTargetSocket(cluster.paths.node(node));
  if (socketPath === undefined) throw new Error(`${node} has no target`);
  return SpdkClient.connect({ socketPath });
}
