import type { NodeRecord, ReplicaRecord } from '@lariat/contracts';

/**
 * A node that has just died is still taken for ready, by what was heard of it before: one that has not left that state
 * since the fault must have been heard of for longer than silence takes to be noticed (SUSPECT_AFTER_MS).
 */
const RETURN_SETTLE_MS = 3_500;

type NodeState = Pick<NodeRecord, 'name' | 'state' | 'since' | 'disks'>;
type LostReplica = Pick<ReplicaRecord, 'node' | 'disk' | 'faultedAtMs'>;

/** Whether a faulted replica's node is ready and has its disk: then it is asked what it still has. Pure. */
export function isBackOn(
  nodes: readonly NodeState[],
  nowMs: number,
): (replica: LostReplica) => boolean {
  return (replica) => {
    const node = nodes.find(({ name }) => name === replica.node);
    if (node?.state !== 'ready' || untilKnownMs(nodes, nowMs, replica) > 0) return false;
    return node.disks.some(({ id }) => id === replica.disk);
  };
}

/** Milliseconds until a ready node of a faulted replica is known to be back, and not dead unnoticed. Pure. */
export function untilKnownMs(
  nodes: readonly NodeState[],
  nowMs: number,
  { node: name, faultedAtMs }: LostReplica,
): number {
  const node = nodes.find((candidate) => candidate.name === name);
  const lostAtMs = faultedAtMs ?? 0;
  if (node?.state !== 'ready' || Date.parse(node.since) > lostAtMs) return 0;
  // A clock ahead of this one's may have told when it was lost.
  return Math.min(RETURN_SETTLE_MS, Math.max(0, lostAtMs + RETURN_SETTLE_MS - nowMs));
}
