import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { findTargetSocket } from '@lariat/cli';
import type { OrphanView, VolumeView } from '@lariat/contracts';
import { MIB, newReplicaId } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 8 * MIB;
/** What nobody waits for ends in seconds; a machine that is busy with other things is slower. */
const BOUND_MS = 60_000;
const DEAD = 'n3';

describe('a node that is dead for good', () => {
  let e2e: E2eCluster;
  let diskBefore: string;
  /** Names of what was found without an owner, each time that it was. */
  const found: string[] = [];
  const data = new Map<string, Buffer>();
  let left: readonly string[];

  beforeAll(async () => {
    e2e = await startE2e({ nodes: 3 });
    e2e.connection.subscribe('lariat.v1.event.orphan.*.found', {
      callback: (_error, message) => {
        found.push(message.json<{ data: { name: string } }>().data.name);
      },
    });
    const { disks } = await e2e.client.request('disk.list', { node: DEAD });
    diskBefore = disks[0]?.id ?? '';
  }, 120_000);
  afterAll(async () => {
    await e2e.stop();
  });

  const orphans = async (): Promise<readonly OrphanView[]> =>
    (await e2e.client.request('orphan.list', { node: DEAD })).orphans;
  const show = (volume: string): Promise<VolumeView> =>
    e2e.client.request('volume.get', { volume });
  const lvolOn = (volume: VolumeView): string =>
    `${diskBefore}/${volume.replicas.find(({ node }) => node === DEAD)?.id ?? ''}`;

  async function written(name: string, replicas: number, node: string): Promise<VolumeView> {
    const { client } = e2e;
    const volume = await client.request('volume.create', {
      ...{ name, sizeBytes: SIZE_BYTES, replicas },
    });
    await client.request('volume.attach', { volume: name, node, frontend: 'nbd' });
    const device = await e2e.open(name);
    data.set(name, randomBytes(SIZE_BYTES));
    await device.writeAll(0, data.get(name) ?? Buffer.alloc(0));
    await device.flush();
    await device.close();
    return volume;
  }

  async function holdsItsData(volume: string): Promise<boolean> {
    await e2e.client.request('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
    const device = await e2e.open(volume);
    const isSame = (await device.read(0, SIZE_BYTES)).equals(data.get(volume) ?? Buffer.alloc(0));
    await device.close();
    await e2e.client.request('volume.detach', { volume });
    return isSame;
  }

  async function newOrphan(): Promise<string> {
    const socketPath = await findTargetSocket(e2e.cluster.paths.node(DEAD));
    const rpc = await SpdkClient.connect({ socketPath: socketPath ?? '' });
    const lvolName = newReplicaId();
    await new Spdk(rpc).lvol.create({ store: { lvsName: diskBefore }, lvolName, sizeMib: 4 });
    rpc.close();
    await until('the orphan to be found', BOUND_MS, async () =>
      (await orphans()).length === 1 ? true : undefined,
    );
    return `${diskBefore}/${lvolName}`;
  }

  it('holds up no deletion that was under way, and is not removed while it lives', async () => {
    const { client, cluster } = e2e;
    for (const node of ['n1', 'n2']) await client.request('node.cordon', { node });
    await written('alone', 1, DEAD);
    await client.request('volume.detach', { volume: 'alone' });
    for (const node of ['n1', 'n2']) await client.request('node.uncordon', { node });
    const used = await written('used', 3, DEAD);
    const gone = await client.request('volume.create', {
      ...{ name: 'gone', sizeBytes: SIZE_BYTES, replicas: 3 },
    });
    const dropped = await client.request('snapshot.create', {
      ...{ volume: 'used', snapshot: 'dropped' },
    });
    const ofUsed = [lvolOn(used), `${lvolOn(used)}.${dropped.id}`];
    left = [await newOrphan(), ...ofUsed, lvolOn(gone)];
    await expect(client.request('node.remove', { node: DEAD })).rejects.toMatchObject({
      ...{ code: 'NODE_IN_USE', message: expect.stringContaining('detach the volumes') },
    });
    await cluster.killNode(DEAD);
    // Begun before anybody knows that the node is gone.
    const begun = [
      client.request('volume.delete', { volume: 'gone' }, { timeoutMs: BOUND_MS }),
      client.request(
        'snapshot.delete',
        { volume: 'used', snapshot: 'dropped' },
        { timeoutMs: BOUND_MS },
      ),
    ];
    await Promise.all(begun);
    expect((await client.request('volume.list', {})).volumes.map(({ name }) => name)).toEqual(
      expect.not.arrayContaining(['gone']),
    );
  }, 180_000);

  it('is removed with all that was on record of it, once the loss of what it alone has is accepted', async () => {
    const { client } = e2e;
    await until('the node to be down', BOUND_MS, async () =>
      (await client.request('node.get', { node: DEAD })).state === 'down' ? true : undefined,
    );
    const dry = await client.request('node.remove', { node: DEAD, dryRun: true });
    if (!('would' in dry)) throw new Error('a dry run says what would be done');
    expect(dry.would).toEqual([
      expect.stringContaining("detach volume 'used'"),
      expect.stringMatching(/off volume 'used', which keeps 2/),
      expect.stringContaining("LOSE volume 'alone'"),
      'forget 1 orphan(s) found there',
      `forget node '${DEAD}' and its 1 disk(s)`,
      expect.stringContaining('acceptDataLoss'),
    ]);
    await expect(client.request('node.remove', { node: DEAD })).rejects.toMatchObject({
      code: 'DATA_LOSS_NOT_ACCEPTED',
    });
    expect((await show('used')).attachment?.node).toBe(DEAD);
    const reply = await client.request(
      'node.remove',
      { node: DEAD, acceptDataLoss: true },
      { timeoutMs: BOUND_MS },
    );
    expect(reply).toMatchObject({
      name: DEAD,
      removal: {
        ...{ detached: ['used'], dropped: [{ name: 'used' }], lost: [{ name: 'alone' }] },
        ...{ left: [], lostImages: [], orphans: 1 },
      },
    });
    await expect(client.request('node.get', { node: DEAD })).rejects.toMatchObject({
      code: 'NODE_NOT_FOUND',
    });
    expect(await orphans()).toEqual([]);
    expect((await show('used')).replicas.map(({ node }) => node).toSorted()).toEqual(['n1', 'n2']);
    expect(await holdsItsData('used')).toBe(true);
  }, 180_000);

  it('is back as a new node with its disk: what it alone has counts again, and the rest is found once', async () => {
    const { client, cluster } = e2e;
    found.length = 0;
    for (const folder of ['journal', 'digests'])
      rmSync(join(cluster.paths.node(DEAD), folder), { recursive: true });
    await cluster.startNode(DEAD);
    await until('the node to have its disk', BOUND_MS, async () => {
      const node = await client.request('node.get', { node: DEAD }).catch(() => undefined);
      const [disk] = node?.disks ?? [];
      const isReady = node?.state === 'ready' && disk?.id === diskBefore;
      return isReady && disk.schedulable ? true : undefined;
    });
    await until('what is left to be found', BOUND_MS, async () =>
      (await orphans()).length >= left.length ? true : undefined,
    );
    await until('the replica that is wanted to be taken up', BOUND_MS, async () =>
      client.request('replica.checksum', { volume: 'alone' }).then(
        () => true,
        () => undefined,
      ),
    );
    expect(await holdsItsData('alone')).toBe(true);
    expect(found.toSorted()).toEqual(left.toSorted());
    expect((await orphans()).map(({ name }) => name).toSorted()).toEqual(left.toSorted());
    // Its disk takes replicas: a third one of this is nowhere else. Its engine died, so that one leg was behind another.
    await until('the volume to have three replicas in sync', BOUND_MS, async () => {
      if ((await show('used')).robustness === 'healthy') return true;
      await client.request('replica.rebuild', { volume: 'used' }, { timeoutMs: BOUND_MS });
      return undefined;
    });
    expect((await show('used')).replicas.map(({ node }) => node)).toContain(DEAD);
    // A head before what it stands on, as their names come.
    for (const { id } of await orphans())
      expect(await client.request('orphan.delete', { orphan: id })).toMatchObject({
        outcome: 'deleted',
      });
    for (const volume of ['alone', 'used']) await client.request('volume.delete', { volume });
    expect(await e2e.leftovers(40_000)).toEqual([]);
  }, 180_000);
});
