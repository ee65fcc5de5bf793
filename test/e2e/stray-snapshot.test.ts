import { randomBytes } from 'node:crypto';
import { findTargetSocket } from '@lariat/cli';
import { type CommandEnvelope, commandSubject } from '@lariat/contracts';
import { MIB, deriveSnapshotId, newOperationId } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { jetstream } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 8 * MIB;

describe('a snapshot that only one node has', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e();
  });
  afterAll(async () => {
    await e2e.stop();
  });

  // An operation froze the legs, failed, and was undone while this node was declared down.
  it('costs a replica that is copied from there nothing', async () => {
    const { client, cluster, connection } = e2e;
    await client.request('volume.create', { name: 'v', sizeBytes: SIZE_BYTES, replicas: 2 });
    const { id: volume, replicas } = await client.request('volume.get', { volume: 'v' });
    const [home, source] = replicas;
    if (home === undefined || source === undefined) throw new Error('two replicas were made');
    await client.request('volume.attach', { volume: 'v', node: home.node, frontend: 'nbd' });
    const device = await e2e.open('v');
    const model = randomBytes(SIZE_BYTES);
    const write = async (clusterAt: number): Promise<void> => {
      const data = randomBytes(MIB / 2);
      data.copy(model, clusterAt * MIB);
      await device.write(clusterAt * MIB, data);
    };
    await device.writeAll(0, model);
    await client.request('snapshot.create', { volume: 'v', snapshot: 'kept' });
    for (const at of [1, 2]) await write(at);

    const operation = newOperationId();
    const snapshot = deriveSnapshotId(operation);
    const envelope: CommandEnvelope<'snapshot.create'> = {
      id: `${operation}/stray`,
      command: 'snapshot.create',
      operation,
      step: 'stray',
      fence: 1,
      deadlineAtMs: Date.now() + 10_000,
      input: { replica: source.id, volume, snapshot },
    };
    await jetstream(connection).publish(
      commandSubject(source.node, 'snapshot.create'),
      JSON.stringify(envelope),
    );
    const socketPath = await findTargetSocket(cluster.paths.node(source.node));
    const target = await SpdkClient.connect({ socketPath: socketPath ?? '' });
    const name = `${source.disk}/${source.id}.${snapshot}`;
    await until('the snapshot to be there', 10_000, () =>
      new Spdk(target).bdev.getBdev(name).catch(() => undefined),
    );
    target.close();

    for (const at of [2, 3]) await write(at);
    await client.request('volume.update', { volume: 'v', replicas: 3 }, { timeoutMs: 60_000 });
    for (let read = 0; read < 3; read += 1)
      expect((await device.read(0, SIZE_BYTES)).equals(model)).toBe(true);
    await device.close();
    await client.request('volume.detach', { volume: 'v' });
    for (const named of ['kept', undefined]) {
      const sums = await client.request('replica.checksum', {
        volume: 'v',
        ...(named === undefined ? {} : { snapshot: named }),
      });
      expect(sums).toMatchObject({ identical: true });
      expect(sums.replicas).toHaveLength(3);
    }
    await client.request('volume.delete', { volume: 'v' });
    expect(await e2e.leftovers()).toEqual([]);
  });
});
