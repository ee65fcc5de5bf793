import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DryRun, NodeView, OperationAccepted, VolumeView } from '@lariat/contracts';
import { type LariatError, MIB, toLariatError } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 8 * MIB;

describe('a node that is cordoned or drained', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e({ nodes: 4 });
  }, 180_000);
  afterAll(async () => {
    await e2e.stop();
  });

  const view = (volume: string): Promise<VolumeView> =>
    e2e.client.request('volume.get', { volume });
  const node = (name: string): Promise<NodeView> => e2e.client.request('node.get', { node: name });
  const nodesOf = async (volume: string): Promise<readonly string[]> =>
    (await view(volume)).replicas.map((replica) => replica.node).toSorted();
  const refusal = async (work: Promise<unknown>): Promise<LariatError> => {
    try {
      await work;
    } catch (error) {
      return toLariatError(error);
    }
    throw new Error('it was accepted');
  };
  const onDisks = async (name: string): Promise<readonly number[]> =>
    (await node(name)).disks.map(({ replicas, images }) => replicas + images);
  const readyCopies = async (): Promise<readonly string[]> => {
    const { copies } = await e2e.client.request('image.get', { image: 'i' });
    return copies.flatMap((copy) => (copy.state === 'ready' ? [copy.node] : []));
  };
  const create = (name: string, replicas: number): Promise<VolumeView> =>
    e2e.client.request('volume.create', { name, sizeBytes: SIZE_BYTES, replicas });

  it('gets no new replicas and no new engines while it is cordoned; what it has goes on, and its agent may be killed', async () => {
    const { client, cluster } = e2e;
    await create('goes-on', 3);
    await client.request('volume.attach', { volume: 'goes-on', node: 'n4', frontend: 'nbd' });
    expect(await client.request('node.cordon', { node: 'n4' })).toMatchObject({
      ...{ state: 'ready', duty: 'cordoned', schedulable: false },
    });
    const device = await e2e.open('goes-on');
    const data = randomBytes(MIB);
    await device.write(0, data);
    await create('elsewhere', 3);
    expect(await nodesOf('elsewhere')).toEqual(['n1', 'n2', 'n3']);
    const attach = { volume: 'elsewhere', node: 'n4', frontend: 'nbd' } as const;
    const refused = await refusal(client.request('volume.attach', attach));
    expect(refused.code).toBe('NODE_CORDONED');
    expect(refused.message).toContain("'n4' is cordoned");
    expect(await view('elsewhere')).toMatchObject({ state: 'detached', operation: null });

    const before = await node('n4');
    await cluster.kill('n4');
    await until('the next agent to have registered', 30_000, async () => {
      const { agentInstance, state } = await node('n4');
      return agentInstance !== before.agentInstance && state === 'ready' ? true : undefined;
    });
    expect(await node('n4')).toMatchObject({ duty: 'cordoned', schedulable: false });
    expect((await device.read(0, MIB)).equals(data)).toBe(true);
    await device.close();
    await client.request('volume.detach', { volume: 'goes-on' });
    expect(await client.request('node.uncordon', { node: 'n4' })).toMatchObject({ duty: 'open' });
    await client.request('volume.attach', attach);
    await client.request('volume.detach', { volume: 'elsewhere' });
    await client.request('volume.delete', { volume: 'elsewhere' });
    await client.request('volume.delete', { volume: 'goes-on' });
  }, 180_000);

  it('is emptied by a drain, under I/O, with the data intact; what stays is told with its reason', async () => {
    const { client, cluster } = e2e;
    const path = join(cluster.paths.dataDir, 'drained.img');
    writeFileSync(path, randomBytes(2 * MIB));
    await client.request('image.create', { name: 'i', source: { file: { path } } });
    // The second copy is made after the first is there to be used.
    await until('the image to have its copies', 60_000, async () =>
      (await readyCopies()).length >= 2 ? true : undefined,
    );
    await client.request('node.cordon', { node: 'n4' });
    await create('used', 3);
    await create('alone', 1);
    await create('here', 3);
    await client.request('node.uncordon', { node: 'n4' });
    const [alone] = await nodesOf('alone');
    const drained = alone ?? 'n1';
    const user = drained === 'n1' ? 'n2' : 'n1';
    await client.request('volume.attach', { volume: 'used', node: user, frontend: 'nbd' });
    await client.request('volume.attach', { volume: 'here', node: drained, frontend: 'nbd' });
    const device = await e2e.open('used');
    const data = randomBytes(SIZE_BYTES);
    await device.writeAll(0, data);

    const dry = (await client.request('node.drain', { node: drained, dryRun: true })) as DryRun;
    const told = dry.would.join('\n');
    expect(told).toMatch(/move replica \S+ \(RW\) of volume 'used' to disk \S+ of node 'n4'/);
    expect(told).toMatch(/leave the engine of volume 'here' running: detach it/);
    expect(await node(drained)).toMatchObject({ duty: 'open' });

    // Three of three elsewhere is not possible: each other node has a replica of it already.
    await client.request('node.cordon', { node: 'n4' });
    const stays = await refusal(client.request('node.drain', { node: drained }));
    expect(stays.code).toBe('DRAIN_INCOMPLETE');
    const { remaining } = stays.details as unknown as {
      remaining: {
        replicas: { name: string; reason: string; code: string }[];
        engines: { name: string }[];
      };
    };
    expect(remaining.engines).toEqual([expect.objectContaining({ name: 'here' })]);
    expect(remaining.replicas.map(({ name }) => name).toSorted()).toEqual(['here', 'used']);
    expect(remaining.replicas[0]).toMatchObject({ code: 'NOT_ENOUGH_NODES' });
    // The only replica of a volume is copied before it goes, and never just deleted.
    expect(await nodesOf('alone')).not.toContain(drained);
    expect(await view('alone')).toMatchObject({ robustness: 'healthy' });
    expect(await node(drained)).toMatchObject({ duty: 'cordoned', state: 'ready' });

    await client.request('node.uncordon', { node: 'n4' });
    await client.request('volume.detach', { volume: 'here' });
    const report = await client.request('node.drain', { node: drained, atOnce: 2 });
    expect(report).toMatchObject({ node: drained, movedReplicas: 2 });
    expect(await node(drained)).toMatchObject({ duty: 'drained', schedulable: false });
    expect(await onDisks(drained)).toEqual([0]);
    expect(await nodesOf('used')).not.toContain(drained);
    expect((await device.read(0, SIZE_BYTES)).equals(data)).toBe(true);
    await device.close();
    await client.request('volume.detach', { volume: 'used' });
    for (const volume of ['used', 'here'])
      expect(await client.request('replica.checksum', { volume })).toMatchObject({
        identical: true,
      });
    const ready = await readyCopies();
    expect(ready).not.toContain(drained);
    expect(ready.length).toBeGreaterThanOrEqual(2);
    expect(await client.request('image.verify', { image: 'i' })).toMatchObject({
      verdict: 'identical',
    });
    expect(await client.request('node.uncordon', { node: drained })).toMatchObject({
      ...{ duty: 'open', schedulable: true },
    });
  }, 180_000);

  it('is cordoned still when its drain is cancelled, and opened by nobody while that runs', async () => {
    const { client } = e2e;
    await client.request('rebuild.update', { volume: 'used', mibPerSecond: 1 });
    const [from] = await nodesOf('used');
    const name = from ?? 'n1';
    const begun = (await client.request('node.drain', {
      ...{ node: name, wait: false },
    })) as unknown as OperationAccepted;
    const operation = begun.operation.id;
    await until('the replica to be on its way', 30_000, async () =>
      (await view('used')).replicas.length === 4 ? true : undefined,
    );
    expect(await node(name)).toMatchObject({ duty: 'draining', drain: operation });
    const refused = await refusal(client.request('node.uncordon', { node: name }));
    expect(refused).toMatchObject({ code: 'NODE_DRAINING', details: { operation } });
    await client.request('operation.cancel', { operation });
    const ended = await client.request('operation.wait', { operation });
    expect(ended).toMatchObject({ state: 'failed', error: { code: 'OPERATION_CANCELLED' } });
    expect(await node(name)).toMatchObject({ duty: 'cordoned' });
    const now = await view('used');
    expect(now).toMatchObject({ robustness: 'healthy', operation: null });
    expect(now.replicas).toHaveLength(3);
    await client.request('node.uncordon', { node: name });
    for (const volume of ['used', 'alone', 'here'])
      await client.request('volume.delete', { volume });
    await client.request('image.delete', { image: 'i' });
    expect(await e2e.leftovers()).toEqual([]);
  }, 180_000);
});
