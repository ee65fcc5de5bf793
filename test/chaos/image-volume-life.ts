import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '@lariat/kernel';
import type { ChaosCluster } from './chaos-cluster.js';
import { compareReplicas, expectHealthy, scribble, withDevice } from './volume-life.js';

const IMAGE_BYTES = 5 * MIB;
/** As `scribble` has it. */
const SIZE_BYTES = 16 * MIB;

/** A volume that is made from an image, changed, moved to a node without the image, and cloned; then all goes. */
export async function imageVolumeThrough(chaos: ChaosCluster, volume: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'lariat-image-life-'));
  try {
    const path = join(folder, 'disk.raw');
    const content = randomBytes(IMAGE_BYTES).fill(0, MIB, 2 * MIB);
    writeFileSync(path, content);
    const image = `${volume}-image`;
    await chaos.perform('image.create', { name: image, source: { file: { path } } });
    await live(chaos, volume, image, content);
    await chaos.perform('image.delete', { image });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function live(
  chaos: ChaosCluster,
  volume: string,
  image: string,
  content: Buffer,
): Promise<void> {
  const clone = `${volume}-clone`;
  const create = { name: volume, image, sizeBytes: SIZE_BYTES, replicas: 2 };
  await chaos.perform('volume.create', create);
  const whole = Buffer.concat([content, Buffer.alloc(SIZE_BYTES - IMAGE_BYTES)]);
  await expectContent(chaos, volume, createHash('sha256').update(whole).digest('hex'));
  const { replicas } = await chaos.retrying('the volume to be shown', () =>
    chaos.client.request('volume.get', { volume }),
  );
  const [first, second] = replicas;
  const third = ['n1', 'n2', 'n3'].find((name) => replicas.every(({ node }) => node !== name));
  if (first === undefined || second === undefined || third === undefined)
    throw new Error(`${volume} is on ${replicas.map(({ node }) => node).join(', ')}`);
  await chaos.perform('volume.attach', { volume, node: first.node, frontend: 'nbd' });
  await withDevice(chaos, volume, scribble);
  await chaos.perform('snapshot.create', { volume, snapshot: 'kept' });
  const changed = await withDevice(chaos, volume, scribble);
  await chaos.perform('replica.move', { volume, replica: second.id, toNode: third });
  await expectHealthy(chaos, volume);
  // Two replicas of it share with the source, the third is copied.
  await chaos.perform('volume.create', { name: clone, source: { volume }, replicas: 3 });
  await chaos.perform('volume.detach', { volume });
  await expectContent(chaos, volume, changed);
  await chaos.perform('volume.delete', { volume });
  await expectContent(chaos, clone, changed);
  await chaos.perform('volume.delete', { volume: clone });
}

async function expectContent(chaos: ChaosCluster, volume: string, sha256: string): Promise<void> {
  const sums = await compareReplicas(chaos, { volume });
  if (!sums.identical) throw new Error(`the replicas of ${volume} differ`);
  if (sums.replicas[0]?.sha256 !== sha256) throw new Error(`${volume} has another content`);
}
