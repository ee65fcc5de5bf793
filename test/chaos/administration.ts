import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type NbdClient, findTargetSocket } from '@lariat/cli';
import { BUCKETS, type ImageView, type VolumeView } from '@lariat/contracts';
import { type Json, MIB, newReplicaId } from '@lariat/kernel';
import { type LvolMethods, Spdk, SpdkClient } from '@lariat/spdk';
import { Kvm } from '@nats-io/kv';
import { type ChaosCluster, eventually } from './chaos-cluster.js';
import { compareReplicas, scribble, withDevice } from './volume-life.js';

const SIZE_BYTES = 16 * MIB;
const IMAGE_BYTES = 4 * MIB;

/** What an operator does beside volumes: a disk comes and goes, so does an orphan, a target is started anew, and records that the store lost are put back. */
export async function administerThrough(chaos: ChaosCluster, name: string): Promise<void> {
  await diskThrough(chaos, name);
  await orphanThrough(chaos);
  await targetThrough(chaos, name);
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

/** A volume and an image leave a node that is drained, and the volume a disk that is removed; both are what they were. */
export async function evacuateThrough(chaos: ChaosCluster, volume: string): Promise<void> {
  const image = `image-of-${volume}`;
  const path = join(chaos.cluster.paths.dataDir, `${image}.raw`);
  writeFileSync(path, randomBytes(IMAGE_BYTES));
  const source = { file: { path } };
  await chaos.perform('image.create', { name: image, source, minimumCopies: 1 });
  await chaos.perform('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 2, image });
  const node = (await placesOf(chaos, volume))[0]?.node ?? 'n1';
  await chaos.perform('node.drain', { node });
  const drained = await chaos.retrying('the node to be shown', () =>
    chaos.client.request('node.get', { node }),
  );
  const left = drained.disks.reduce((sum, { replicas, images }) => sum + replicas + images, 0);
  if (drained.duty !== 'drained' || left > 0)
    throw new Error(`${node} is ${drained.duty}, and has ${left} thing(s) still`);
  await chaos.retrying('the node to be opened', () =>
    chaos.client.request('node.uncordon', { node }),
  );
  const [moved] = await placesOf(chaos, volume);
  if (moved === undefined) throw new Error(`${volume} has no replica`);
  const disk = { node: moved.node, name: `disk-of-${volume}` };
  await chaos.perform('disk.add', {
    ...disk,
    path: join(chaos.cluster.paths.dataDir, `disk-of-${volume}`),
    sizeBytes: 64 * MIB,
  });
  const to = { toNode: moved.node, toDisk: disk.name };
  await chaos.perform('replica.move', { volume, replica: moved.id, ...to });
  await chaos.perform('disk.remove', { node: moved.node, disk: disk.name, evacuate: true });
  if ((await disksOf(chaos, moved.node)).includes(disk.name))
    throw new Error(`${moved.node} has disk ${disk.name} still`);
  const sums = await compareReplicas(chaos, { volume });
  if (!sums.identical || sums.replicas.length !== 2)
    throw new Error(`the replicas of ${volume} are ${JSON.stringify(sums.replicas)}`);
  await chaos.perform('image.verify', { image });
  await chaos.perform('volume.delete', { volume });
  await chaos.perform('image.delete', { image });
}

async function placesOf(chaos: ChaosCluster, volume: string): Promise<VolumeView['replicas']> {
  const { replicas } = await chaos.retrying('the volume to be shown', () =>
    chaos.client.request('volume.get', { volume }),
  );
  return replicas;
}

/** A volume in use reads what was written to it, whatever becomes of the restart. */
async function targetThrough(chaos: ChaosCluster, name: string): Promise<void> {
  const volume = `${name}-in-use`;
  await chaos.perform('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 1 });
  await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
  const before = await withDevice(chaos, volume, scribble);
  await chaos.perform('node.restart-target', { node: 'n1' });
  const after = await withDevice(chaos, volume, async (device) =>
    createHash('sha256')
      .update(await device.read(0, SIZE_BYTES))
      .digest('hex'),
  );
  if (after !== before) throw new Error(`${volume} is not what it was before the restart`);
  await chaos.perform('volume.detach', { volume });
  await chaos.perform('volume.delete', { volume });
}

/** A node dies under a volume in use, and is given up; the volume goes on without it, and the node is back as a new one. */
export async function removeNodeThrough(chaos: ChaosCluster, volume: string): Promise<void> {
  const node = 'n3';
  await chaos.perform('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 3 });
  await chaos.perform('volume.attach', { volume, node, frontend: 'nbd' });
  const before = await withDevice(chaos, volume, scribble);
  await chaos.cluster.killNode(node);
  await eventually('the node to be down', 30_000, async () =>
    (await chaos.client.request('node.get', { node })).state === 'down'
      ? { value: true }
      : undefined,
  );
  await chaos.perform('node.remove', { node });
  const { nodes } = await chaos.retrying('the nodes to be shown', () =>
    chaos.client.request('node.list', {}),
  );
  if (nodes.some(({ name }) => name === node)) throw new Error(`${node} is still on record`);
  const { replicas } = await chaos.retrying('the volume to be shown', () =>
    chaos.client.request('volume.get', { volume }),
  );
  if (replicas.some((replica) => replica.node === node))
    throw new Error(`${volume} has a replica on ${node} still`);
  await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
  const after = await withDevice(chaos, volume, sha256Of);
  if (after !== before) throw new Error(`${volume} is not what it was`);
  await chaos.perform('volume.detach', { volume });
  await chaos.perform('volume.delete', { volume });
  await chaos.cluster.startNode(node);
  await chaos.whole();
}

/** An lvol that nobody owns is found, and deleted. */
async function orphanThrough(chaos: ChaosCluster): Promise<void> {
  const node = 'n1';
  const [disk] = (
    await chaos.retrying('the disks to be shown', () => chaos.client.request('disk.list', { node }))
  ).disks;
  const lvolName = newReplicaId();
  const onTarget = async <T>(ask: (lvol: LvolMethods) => Promise<T>): Promise<T> => {
    const socketPath = (await findTargetSocket(chaos.cluster.paths.node(node))) ?? '';
    const client = await SpdkClient.connect({ socketPath });
    try {
      return await ask(new Spdk(client).lvol);
    } finally {
      client.close();
    }
  };
  const store = { lvsName: disk?.id ?? '' };
  const uuid = await onTarget((lvol) => lvol.create({ store, lvolName, sizeMib: 4 }));
  const orphan = await eventually('the orphan to be found', 30_000, async () => {
    const { orphans } = await chaos.client.request('orphan.list', { node });
    const value = orphans.find((one) => one.uuid === uuid);
    return value === undefined ? undefined : { value };
  });
  await chaos.perform('orphan.delete', { orphan: orphan.id });
  const left = await onTarget((lvol) => lvol.getLvols(store));
  if (left.some((lvol) => lvol.uuid === uuid)) throw new Error(`${lvolName} is still there`);
}

async function disksOf(chaos: ChaosCluster, node: string): Promise<readonly string[]> {
  const { disks } = await chaos.retrying('the disks to be shown', () =>
    chaos.client.request('disk.list', { node }),
  );
  return disks.map((disk) => disk.name);
}

/** A volume and the image that it stands on, both lost, are put back and hold what they held. */
export async function recoverThrough(chaos: ChaosCluster, volume: string): Promise<void> {
  const image = `image-of-${volume}`;
  const path = join(chaos.cluster.paths.dataDir, `${image}.raw`);
  writeFileSync(path, randomBytes(IMAGE_BYTES));
  const source = { file: { path } };
  await chaos.perform('image.create', { name: image, source, minimumCopies: 1 });
  await chaos.perform('volume.create', {
    ...{ name: volume, sizeBytes: SIZE_BYTES, replicas: 3, image },
  });
  await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
  const before = await withDevice(chaos, volume, scribble);
  await chaos.perform('volume.detach', { volume });
  const imageBefore = await showImage(chaos, image);
  await loseRecords(chaos, volume, imageBefore.id);
  await chaos.perform('cluster.recover', {});
  const imageAfter = await showImage(chaos, image);
  if (JSON.stringify(lasting(imageAfter)) !== JSON.stringify(lasting(imageBefore)))
    throw new Error(
      `${image} was ${JSON.stringify(imageBefore)}, is ${JSON.stringify(imageAfter)}`,
    );
  await chaos.perform('image.verify', { image });
  await chaos.perform('volume.attach', { volume, node: 'n2', frontend: 'nbd' });
  const after = await withDevice(chaos, volume, sha256Of);
  if (after !== before) throw new Error(`${volume} is not what it was before it was lost`);
  await chaos.perform('volume.detach', { volume });
  await chaos.perform('volume.delete', { volume });
  await chaos.perform('image.delete', { image });
}

const sha256Of = async (device: NbdClient): Promise<string> =>
  createHash('sha256')
    .update(await device.read(0, SIZE_BYTES))
    .digest('hex');

const showImage = (chaos: ChaosCluster, image: string): Promise<ImageView> =>
  chaos.retrying('the image to be shown', () => chaos.client.request('image.get', { image }));

/** What no use of an image changes. */
const lasting = ({ id, name, state, rootSha256, copies }: ImageView): Json => ({
  ...{ id, name, state, rootSha256 },
  copies: copies.map(({ disk, lvolUuid }) => ({ disk, lvolUuid })),
});

/** The store forgets the volume and its image; what the nodes keep of them is all that is left. */
async function loseRecords(chaos: ChaosCluster, volume: string, image: string): Promise<void> {
  const { id } = await chaos.retrying('the volume to be shown', () =>
    chaos.client.request('volume.get', { volume }),
  );
  const kvm = new Kvm(chaos.connection);
  await (await kvm.open(BUCKETS.volumes)).purge(id);
  await (await kvm.open(BUCKETS.images)).purge(image);
  await eventually(`${volume} and its image to be unknown`, 10_000, async () => {
    const { volumes } = await chaos.client.request('volume.list', {});
    const { images } = await chaos.client.request('image.list', {});
    const isKnown = [...volumes, ...images].some((one) => one.id === id || one.id === image);
    return isKnown ? undefined : { value: true };
  });
}
