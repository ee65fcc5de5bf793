import { MIB } from '@lariat/kernel';
import { type ChaosCluster, eventually } from './chaos-cluster.js';
import { scribble, withDevice } from './volume-life.js';

const SIZE_BYTES = 16 * MIB;

/** Images are made of a volume in use and of a snapshot of it; then nothing of the imports is left on the volume. */
export async function imageOfVolumeThrough(chaos: ChaosCluster, volume: string): Promise<void> {
  await chaos.perform('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 2 });
  await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
  const first = await withDevice(chaos, volume, scribble);
  await chaos.perform('snapshot.create', { volume, snapshot: 'first' });
  const second = await withDevice(chaos, volume, scribble);
  await expectImage(chaos, `${volume}-now`, { volume }, second);
  await withDevice(chaos, volume, scribble);
  await chaos.perform('volume.detach', { volume });
  await expectImage(chaos, `${volume}-first`, { volume, snapshot: 'first' }, first);
  await eventually('the snapshots that were taken to go', 60_000, async () => {
    const { snapshots } = await chaos.client.request('snapshot.list', { volume });
    return snapshots.every(({ user }) => user) ? { value: true } : undefined;
  });
  const { clones } = await chaos.retrying('the volume to be shown', () =>
    chaos.client.request('volume.get', { volume }),
  );
  if (clones.length > 0) throw new Error(`${volume} is kept for ${JSON.stringify(clones)}`);
  // Refused on a node that has left an export of it.
  await chaos.perform('snapshot.delete', { volume, snapshot: 'first' });
  await chaos.perform('volume.delete', { volume });
}

async function expectImage(
  chaos: ChaosCluster,
  name: string,
  source: { readonly volume: string; readonly snapshot?: string },
  sha256: string,
): Promise<void> {
  await chaos.perform('image.create', { name, source, minimumCopies: 1 });
  const image = await chaos.retrying('the image to be shown', () =>
    chaos.client.request('image.get', { image: name }),
  );
  if (image.state !== 'ready' || !image.checksums.includes(`sha256:${sha256}`))
    throw new Error(`${name} is ${image.state}, with ${image.checksums.join(', ')}`);
  await chaos.perform('image.delete', { image: name });
}
