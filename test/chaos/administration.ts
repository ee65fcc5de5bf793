import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { BUCKETS } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { Kvm } from '@nats-io/kv';
import { type ChaosCluster, eventually } from './chaos-cluster.js';
import { scribble, withDevice } from './volume-life.js';

const SIZE_BYTES = 16 * MIB;

/** What an operator does beside volumes: a disk comes and goes, and a record that the store lost is put back. */
export async function administerThrough(chaos: ChaosCluster, name: string): Promise<void> {
  await diskThrough(chaos, name);
  await recoverThrough(chaos, name);
}

async function diskThrough(chaos: ChaosCluster, name: string): Promise<void> {
  const node = 'n1';
  const path = join(chaos.cluster.paths.dataDir, `disk-of-${name}`);
  await chaos.perform('disk.add', { node, path, name, sizeBytes: 64 * MIB });
  if (!(await disksOf(chaos, node)).includes(name)) throw new Error(`${node} has no disk ${name}`);
  await chaos.perform('disk.remove', { node, disk: name });
  if ((await disksOf(chaos, node)).includes(name))
    throw new Error(`${node} has disk ${name} still`);
}

async function disksOf(chaos: ChaosCluster, node: string): Promise<readonly string[]> {
  const { disks } = await chaos.retrying('the disks to be shown', () =>
    chaos.client.request('disk.list', { node }),
  );
  return disks.map((disk) => disk.name);
}

async function recoverThrough(chaos: ChaosCluster, volume: string): Promise<void> {
  await chaos.perform('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 3 });
  await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
  const before = await withDevice(chaos, volume, scribble);
  await chaos.perform('volume.detach', { volume });
  await loseRecord(chaos, volume);
  await chaos.perform('cluster.recover', {});
  await chaos.perform('volume.attach', { volume, node: 'n2', frontend: 'nbd' });
  const after = await withDevice(chaos, volume, async (device) =>
    createHash('sha256')
      .update(await device.read(0, SIZE_BYTES))
      .digest('hex'),
  );
  if (after !== before) throw new Error(`${volume} is not what it was before it was lost`);
  await chaos.perform('volume.detach', { volume });
  await chaos.perform('volume.delete', { volume });
}

/** The store forgets the volume; what the nodes keep of it is all that is left. */
async function loseRecord(chaos: ChaosCluster, volume: string): Promise<void> {
  const { id } = await chaos.retrying('the volume to be shown', () =>
    chaos.client.request('volume.get', { volume }),
  );
  const records = await new Kvm(chaos.connection).open(BUCKETS.volumes);
  await records.purge(id);
  await eventually(`${volume} to be unknown`, 10_000, async () => {
    const { volumes } = await chaos.client.request('volume.list', {});
    return volumes.some((one) => one.id === id) ? undefined : { value: true };
  });
}
