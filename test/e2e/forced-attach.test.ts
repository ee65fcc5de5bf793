import { randomBytes } from 'node:crypto';
import { MIB, toLariatError } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const BLOCK_BYTES = 64 * 1024;

describe('a volume whose node is cut off', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e();
  });
  afterAll(async () => {
    await e2e.stop();
  });

  const attach = (volume: string, node: string, force?: boolean) =>
    e2e.client.request('volume.attach', {
      volume,
      node,
      frontend: 'nbd',
      ...(force === undefined ? {} : { force }),
    });

  it('is taken by force, and the old engine can neither write nor answer a write any more', async () => {
    const { client, cluster } = e2e;
    await client.request('volume.create', { name: 'v', sizeBytes: 8 * MIB, replicas: 3 });
    await attach('v', 'n1');
    const old = await e2e.open('v');
    const first = randomBytes(BLOCK_BYTES);
    await old.write(0, first);

    // Frozen, not dead: it goes on later as if nothing had happened.
    const agent = await cluster.kill('n1', 'SIGSTOP');
    const target = await cluster.kill('n1/target', 'SIGSTOP');
    try {
      const refused = await attach('v', 'n2').catch(toLariatError);
      expect(refused).toMatchObject({ code: 'VOLUME_ATTACHED_ELSEWHERE' });
      expect(refused).toHaveProperty('message', expect.stringMatching(/'n1'.*force/));
      expect(await attach('v', 'n2', true)).toMatchObject({
        state: 'attached',
        robustness: 'degraded',
        attachment: { node: 'n2', epoch: 2 },
      });
    } finally {
      process.kill(target, 'SIGCONT');
      process.kill(agent, 'SIGCONT');
    }
    const device = await e2e.open('v');
    expect((await device.read(0, BLOCK_BYTES)).equals(first)).toBe(true);
    const second = randomBytes(BLOCK_BYTES);
    await device.write(0, second);

    await expect(old.write(0, randomBytes(BLOCK_BYTES))).rejects.toBeInstanceOf(Error);
    await old.close();
    expect((await device.read(0, BLOCK_BYTES)).equals(second)).toBe(true);
    const healed = await until('n1 to be ready', 20_000, async () =>
      (await client.request('node.get', { node: 'n1' })).state === 'ready' ? true : undefined,
    );
    expect(healed).toBe(true);
    await client.request('replica.rebuild', { volume: 'v' }, { timeoutMs: 60_000 });
    await until('all replicas to be in sync', 60_000, async () => {
      const view = await client.request('volume.get', { volume: 'v' });
      if (view.robustness === 'healthy') return true;
      if (view.operation === null)
        await client
          .request('replica.rebuild', { volume: 'v' }, { timeoutMs: 60_000 })
          .catch(() => undefined);
      return undefined;
    });
    await device.close();
    await client.request('volume.detach', { volume: 'v' });
    expect(await client.request('replica.checksum', { volume: 'v' })).toMatchObject({
      identical: true,
    });
    await client.request('volume.delete', { volume: 'v' });
    expect(await e2e.leftovers(40_000)).toEqual([]);
  }, 180_000);

  it('is moved without loss of redundancy when the node still answers', async () => {
    const { client } = e2e;
    await client.request('volume.create', { name: 'w', sizeBytes: 8 * MIB, replicas: 3 });
    await attach('w', 'n1');
    const before = await e2e.open('w');
    const data = randomBytes(BLOCK_BYTES);
    await before.write(BLOCK_BYTES, data);
    await before.close();
    expect(await attach('w', 'n3', true)).toMatchObject({
      robustness: 'healthy',
      attachment: { node: 'n3', epoch: 2 },
    });
    const after = await e2e.open('w');
    expect((await after.read(BLOCK_BYTES, BLOCK_BYTES)).equals(data)).toBe(true);
    await after.close();
    await client.request('volume.detach', { volume: 'w' });
    await client.request('volume.delete', { volume: 'w' });
    expect(await e2e.leftovers()).toEqual([]);
  });
});
