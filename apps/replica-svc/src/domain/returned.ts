import type { NodeRecord, ReplicaRecord } from '@lariat/contracts';

/**
 * A node that has just died is still taken for ready, by what was heard of it before: one that has not left that state
 * since the fault must have been heard of for longer than silence takes to be noticed (SUSPECT_AFTER_MS).
 */
const RETURN_SETTLE_MS = 3_500;

/** Whether a faulted replica's node is ready and has its disk: then it is asked what it still has. Pure. */
export function isBackOn(
  nodes: readonly Pick<NodeRecord, 'name' | 'state' | 'since' | 'disks'>[],
  nowMs: number,
): (replica: Pick<ReplicaRecord, 'node' | 'disk' | 'faultedAtMs'>) => boolean {
  return ({ node: name, disk, faultedAtMs }) => {
    const node = nodes.find((candidate) => candidate.name === name);
    if (node?.state !== 'ready') return false;
    const lostAtMs = faultedAtMs ?? 0;
    if (Date.parse(node.since) <= lostAtMs && nowMs - lostAtMs < RETURN_SETTLE_MS) return false;
    return node.disks.some(({ id }) => id === disk);
  };
}
