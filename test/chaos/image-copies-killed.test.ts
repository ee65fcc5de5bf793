import { randomBytes } from 'node:crypto';
import {
  clusterDigestOf,
  encodeDigestPage,
  imageFetchHostNqn,
  rootDigestOf,
} from '@lariat/contracts';
import { MIB, newImageId, newOperationId, newReplicaId, newVolumeId } from '@lariat/kernel';
import { describe } from 'vitest';
import { nodeCommands, whileAttached } from '../e2e/node-commands.js';
import type { ChaosCluster } from './chaos-cluster.js';
import { killAtEveryPosition } from './kill-at-every-position.js';

const CLUSTERS = 4;
const SIZE_BYTES = CLUSTERS * MIB;
const HOST = 'nqn.2026-11.io.lariat:importer';

/** An image is written to n1, fetched to n2, used on both, and deleted; each answer must be the right one. */
async function imageLife(chaos: ChaosCluster): Promise<void> {
  const send = nodeCommands(chaos.connection);
  const operation = newOperationId();
  const image = newImageId();
  const { disks } = await chaos.retrying('the disks', () => chaos.client.request('disk.list', {}));
  const on = (node: string): { image: string; disk: string } => ({
    image,
    disk: disks.find((disk) => disk.node === node)?.id ?? '',
  });
  const clusters = Array.from({ length: CLUSTERS }, (_, at) =>
    at === 1 ? Buffer.alloc(MIB) : randomBytes(MIB),
  );
  const digests = Buffer.concat(clusters.map((cluster) => clusterDigestOf(cluster)));
  const sha256 = rootDigestOf({ sizeBytes: SIZE_BYTES, digests });
  const check = async (node: string): Promise<void> => {
    const read = await send(node, 'image.digest-copy', { ...on(node), reread: true });
    if (read.sha256 !== sha256) throw new Error(`the copy on ${node} is not the image`);
  };

  const create = { ...on('n1'), sizeBytes: SIZE_BYTES, hostNqn: HOST };
  const { endpoint } = await send('n1', 'image.create-copy', create, { operation });
  if (endpoint === null) throw new Error('the draft is not exported');
  await whileAttached(endpoint, HOST, async (device) => {
    for (const [at, cluster] of clusters.entries())
      if (at !== 1) await device.write(at * MIB, cluster);
  });
  await send('n1', 'image.seal-copy', on('n1'));
  await check('n1');

  const hostNqn = imageFetchHostNqn(image, on('n2').disk);
  const fetched = { ...on('n2'), sizeBytes: SIZE_BYTES, hostNqn: null };
  await send('n2', 'image.create-copy', fetched, { operation });
  const source = await send('n1', 'image.export-copy', { ...on('n1'), hostNqn });
  const page = encodeDigestPage({ digests }, 0, CLUSTERS);
  await send('n2', 'image.fetch-copy', { ...on('n2'), source, firstCluster: 0, digests: page });
  await send('n1', 'image.unexport-copy', { ...on('n1'), hostNqn });
  await send('n2', 'image.seal-copy', on('n2'));
  await check('n2');

  for (const node of ['n1', 'n2']) {
    const replica = { replica: newReplicaId(), volume: newVolumeId() };
    await send(node, 'replica.create', { ...on(node), ...replica, sizeBytes: 2 * SIZE_BYTES });
    const refused = await send(node, 'image.delete-copy', on(node)).then(
      () => undefined,
      (error: unknown) => (error as { code?: unknown }).code,
    );
    if (refused !== 'IMAGE_COPY_IN_USE') throw new Error(`deleted in use: ${String(refused)}`);
    await send(node, 'replica.delete', replica);
    await check(node);
    await send(node, 'image.delete-copy', on(node));
  }
}

describe('agents killed at every journal position of the life of an image', () => {
  killAtEveryPosition({
    nodes: 2,
    processes: ['node-agent-n1', 'node-agent-n2'],
    sagas: [],
    work: imageLife,
    takes: (point) => point.startsWith('agent/image.') || point.startsWith('agent/replica.create'),
    // Seven commands on one node and six on the other, three positions each.
    atLeast: 39,
  });
});
