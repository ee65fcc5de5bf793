import type { AllocationRecord, PromisedReplica, VolumeRecord } from '@lariat/contracts';
import { isMissing } from './promises.js';
import { isIdle } from './idle.js';

export interface PromiseDrift {
  /** Replicas of volumes at rest to whom their disk promises nothing, or too little. */
  readonly missing: readonly PromisedReplica[];
  /** Promises for good of which no volume knows. */
  readonly unwanted: readonly {
    readonly node: string;
    readonly disk: string;
    readonly replica: string;
  }[];
}

/** What is promised on disks compared with what the volumes have there. Promises under a lease end by themselves. Pure. */
export function comparePromises(
  allocations: readonly AllocationRecord[],
  volumes: readonly VolumeRecord[],
  hasDisk: (disk: string) => boolean,
): PromiseDrift {
  const byDisk = new Map(allocations.map((allocation) => [allocation.disk, allocation]));
  const missing = volumes
    .filter((volume) => isIdle(volume))
    .flatMap(({ id: volume, sizeBytes, replicas }) =>
      replicas.map(({ id: replica, node, disk }) => ({ volume, replica, node, disk, sizeBytes })),
    )
    .filter((promised) => {
      const { disk, node } = promised;
      return hasDisk(disk) && isMissing(byDisk.get(disk) ?? { disk, node, replicas: {} }, promised);
    });
  const held = new Set(volumes.flatMap(({ replicas }) => replicas.map(({ id }) => id)));
  const unwanted = allocations.flatMap(({ node, disk, replicas, leases = {} }) =>
    Object.keys(replicas)
      .filter((replica) => !held.has(replica) && leases[replica] === undefined)
      .map((replica) => ({ node, disk, replica })),
  );
  return { missing, unwanted };
}
