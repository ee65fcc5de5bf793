import { type ClusterDigests, digestAt, digestCluster, isZeroDigest } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import type { ConnectedDevice } from '../ports/block-connector.port.js';
import type { CommandContext } from './command-handlers.js';

export interface CopyClustersTask {
  readonly from: Pick<ConnectedDevice, 'sizeBytes' | 'read'>;
  readonly to: Pick<ConnectedDevice, 'write' | 'writeZeroes' | 'flush'>;
  /** What `to` has already. */
  readonly have: Pick<ClusterDigests, 'digests'>;
  /** What `from` has, from `firstCluster` on. */
  readonly wanted: readonly Buffer[];
  readonly firstCluster: number;
  readonly progress: CommandContext['progress'];
  /** What to say of a cluster that `from` does not have as it is wanted. */
  readonly mismatch: (cluster: number) => Error;
}

/** Clusters on their way at a time: hides the latency of both paths. */
const IN_FLIGHT = 4;

/** Brings clusters to what is wanted; those that are so already are neither read nor written. */
export async function copyClusters(
  task: CopyClustersTask,
): Promise<{ copiedClusters: number; zeroedClusters: number }> {
  const { from, to, have, wanted, firstCluster, progress, mismatch } = task;
  const differing = wanted.flatMap((digest, index) => {
    const cluster = firstCluster + index;
    return digest.equals(digestAt(have, cluster)) ? [] : [{ cluster, digest }];
  });
  let copiedClusters = 0;
  let zeroedClusters = 0;
  const queue = differing.values();
  const work = async (): Promise<void> => {
    for (const { cluster, digest } of queue) {
      const offsetBytes = cluster * CLUSTER_SIZE_BYTES;
      if (isZeroDigest(digest)) {
        await to.writeZeroes(offsetBytes, CLUSTER_SIZE_BYTES);
        zeroedClusters += 1;
      } else {
        const data = await from.read(offsetBytes, CLUSTER_SIZE_BYTES);
        if (!(await digestCluster(data)).equals(digest)) throw mismatch(cluster);
        await to.write(offsetBytes, data);
        copiedClusters += 1;
      }
      progress(copiedClusters + zeroedClusters, differing.length, 'clusters');
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  // What is told to be copied is going to be counted on.
  await to.flush();
  return { copiedClusters, zeroedClusters };
}
