import type { NodeRecord, ReplicaRecord, VolumeRecord } from '@lariat/contracts';
import { isReadyAmong } from './returned.js';
import { inRemovalOrder } from './scale.js';
import { isIdle } from './idle.js';

/**
 * The replica that the volume has beyond its number and misses least: one that a move could not take away, since nobody was left
 * to keep that it does not count, or that a rebuild which was given up has left. Undefined when there is none, or when as
 * many as the volume is to have would not be in sync on ready nodes without it. Pure.
 */
export function surplusReplica(
  record: VolumeRecord,
  nodes: readonly NodeRecord[],
): ReplicaRecord | undefined {
  const { replicas, replicaCount } = record;
  if (!isIdle(record)) return undefined;
  const [surplus] = inRemovalOrder(record, nodes);
  if (replicas.length <= replicaCount || surplus === undefined) return undefined;
  const isReady = isReadyAmong(nodes);
  const staying = replicas.filter(
    ({ id, mode, node }) => id !== surplus.id && mode === 'RW' && isReady(node),
  );
  return staying.length < replicaCount ? undefined : surplus;
}
