import { randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { clusterDigestOf, hasCode, rootDigestOf } from '@lariat/contracts';
import { MIB, newVolumeId } from '@lariat/kernel';
import { type ChaosCluster, eventually } from './chaos-cluster.js';

const CLUSTERS = 6;
const SPREAD_ANSWER_MS = 5_000;

/** An image comes from a node's file onto one disk, spreads to all, is read back whole, and goes. */
export async function imageThrough(chaos: ChaosCluster, name: string): Promise<void> {
  const { dataDir } = chaos.cluster.paths;
  const content = randomBytes(CLUSTERS * MIB);
  content.fill(0, MIB, 3 * MIB);
  const path = join(dataDir, `image-of-${name}.raw`);
  writeFileSync(path, content);
  const root = rootDigestOf({
    sizeBytes: content.length,
    digests: Buffer.concat(
      Array.from({ length: CLUSTERS }, (_, at) =>
        clusterDigestOf(content.subarray(at * MIB, (at + 1) * MIB)),
      ),
    ),
  });

  const source = { file: { node: 'n2', path } };
  await chaos.perform('image.create', { name, source, minimumCopies: 1 });
  const image = await chaos.retrying('the image to be shown', () =>
    chaos.client.request('image.get', { image: name }),
  );
  if (image.state !== 'ready' || image.rootSha256 !== root)
    throw new Error(`${name} is ${image.state}, with ${image.rootSha256}`);
  await spread(chaos, image.id);
  await chaos.whole();
  await chaos.perform('image.verify', { image: name });
  const { copies } = await chaos.retrying('the copies to be shown', () =>
    chaos.client.request('image.get', { image: name }),
  );
  const odd = copies.find(({ state }) => state !== 'ready');
  if (copies.length !== 3 || odd !== undefined)
    throw new Error(`the copies of ${name} are ${JSON.stringify(copies)}`);
  await chaos.perform('image.delete', { image: name });
  const scratch = readdirSync(join(dataDir, 'image-scratch'));
  if (scratch.length > 0) throw new Error(`left in scratch: ${scratch.join(', ')}`);
}

/** Asks until every disk has a copy: what was fetched goes on, or is undone, whoever dies on the way. */
async function spread(chaos: ChaosCluster, image: string): Promise<void> {
  const { disks } = await chaos.retrying('the disks to be shown', () =>
    chaos.client.request('disk.list', {}),
  );
  const wanted = disks.map(({ node, id }) => ({ node, disk: id }));
  const request = { image, disks: wanted, volume: newVolumeId() };
  await eventually('every disk to have a copy', 60_000, async () => {
    try {
      const options = { timeoutMs: SPREAD_ANSWER_MS };
      return {
        value: await chaos.client.request('internal.image.ensure-copies', request, options),
      };
    } catch (error) {
      if (hasCode(error, 'IMAGE_COPY_FAILED')) return undefined;
      throw error;
    }
  });
}
