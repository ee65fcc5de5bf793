import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { OrphanView, VolumeView } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 8 * MIB;
const NODE = 'n2';

describe('a node that was installed anew, with the disk that it had', () => {
  let e2e: E2eCluster;
  let diskBefore: string;
  const found: string[] = [];
  beforeAll(async () => {
    e2e = await startE2e({ nodes: 2 });
    e2e.connection.subscribe('lariat.v1.event.orphan.*.found', {
      callback: (_error, message) => {
        found.push(message.json<{ data: { name: string } }>().data.name);
      },
    });
    diskBefore = await diskOf(NODE);
  });
  afterAll(async () => {
    await e2e.stop();
  });

  const diskOf = async (node: string): Promise<string> =>
    (await e2e.client.request('disk.list', { node })).disks[0]?.id ?? '';
  const orphans = async (): Promise<readonly OrphanView[]> =>
    (await e2e.client.request('orphan.list', { node: NODE })).orphans;

  async function written(name: string): Promise<Buffer> {
    const { client } = e2e;
    await client.request('volume.attach', { volume: name, node: 'n1', frontend: 'nbd' });
    const device = await e2e.open(name);
    const data = randomBytes(SIZE_BYTES);
    await device.writeAll(0, data);
    await device.flush();
    await device.close();
    await client.request('snapshot.create', { volume: name, snapshot: 'kept' });
    await client.request('volume.detach', { volume: name });
    return data;
  }

  async function holds(volume: string, data: Buffer): Promise<boolean> {
    await e2e.client.request('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
    const device = await e2e.open(volume);
    const isSame = (await device.read(0, SIZE_BYTES)).equals(data);
    await device.close();
    await e2e.client.request('volume.detach', { volume });
    return isSame;
  }

  it('is ready with that disk; what volumes want is taken up, and the rest found once', async () => {
    const { client, cluster } = e2e;
    // The only replica: nobody else has what is on it.
    await client.request('node.cordon', { node: 'n1' });
    await client.request('volume.create', { name: 'alone', sizeBytes: SIZE_BYTES, replicas: 1 });
    await client.request('node.uncordon', { node: 'n1' });
    const data = await written('alone');
    const { replicas } = (await client.request('volume.create', {
      ...{ name: 'gone', sizeBytes: SIZE_BYTES, replicas: 2 },
    })) as VolumeView;
    const left = replicas.find(({ node }) => node === NODE)?.id ?? '';
    await cluster.killNode(NODE);
    await until('the node to be down', 30_000, async () =>
      (await client.request('node.get', { node: NODE })).state === 'down' ? true : undefined,
    );
    // Ends without the node, and what is left there is nobody's then.
    await client.request('volume.delete', { volume: 'gone' });
    for (const folder of ['journal', 'digests'])
      rmSync(join(cluster.paths.node(NODE), folder), { recursive: true });
    await cluster.startNode(NODE);
    await until('the node to have its disk', 60_000, async () => {
      const { state, disks } = await client.request('node.get', { node: NODE });
      const [disk] = disks;
      return state === 'ready' && disk?.id === diskBefore && disk.schedulable ? true : undefined;
    });
    const orphan = await until('what is left to be found', 60_000, async () => {
      const listed = await orphans();
      return listed.length === 0 ? undefined : listed;
    });
    expect(orphan).toMatchObject([
      { kind: 'lvol', name: `${diskBefore}/${left}`, sizeBytes: SIZE_BYTES, kept: null },
    ]);
    const { snapshots } = await client.request('snapshot.list', { volume: 'alone' });
    expect(snapshots.map(({ name }) => name)).toEqual(['kept']);
    await until('the replica to be taken up', 30_000, async () =>
      (await client.request('replica.checksum', { volume: 'alone' }).catch(() => undefined)) ===
      undefined
        ? undefined
        : true,
    );
    expect(await holds('alone', data)).toBe(true);
    // Nothing but the one, and that one once, though its agent is started again.
    await cluster.stopNode(NODE);
    await cluster.startNode(NODE);
    await until('the node to be ready', 60_000, async () =>
      (await client.request('node.get', { node: NODE })).state === 'ready' ? true : undefined,
    );
    expect(await holds('alone', data)).toBe(true);
    expect(await orphans()).toEqual(orphan);
    expect(found).toEqual([`${diskBefore}/${left}`]);
    await client.request('orphan.delete', { orphan: orphan[0]?.id ?? '' });
    await client.request('volume.delete', { volume: 'alone' });
    expect(await e2e.leftovers(40_000)).toEqual([]);
  }, 240_000);
});
