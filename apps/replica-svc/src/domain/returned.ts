import type { NodeRecord, ReplicaRecord } from '@lariat/contracts';

/**
 * A node that has just died is still taken for ready, by what was heard of it before: one that has not left that state
 * since the fault must have been heard of for longer than silence takes to be noticed (SUSPECT_AFTER_MS).
 */
const RETURN_SETTLE_MS = 3_500;
/** A node that is suspected is back or down by then (DOWN_AFTER_MS); only a target that dies again and again is not. */
const SUSPICION_MS = 10_000;
/** A disk that can't be read fails each time: after this many tries a new replica is made instead. */
export const MAX_REUSE_FAILURES = 3;

type NodeState = Pick<NodeRecord, 'name' | 'state' | 'since' | 'disks'>;
type LostReplica = Pick<ReplicaRecord, 'node' | 'disk' | 'faultedAtMs' | 'reuseFailures'>;

/** Whether a node of this name is known and ready. Pure. */
export function isReadyAmong(
  nodes: readonly Pick<NodeRecord, 'name' | 'state'>[],
): (node: string) => boolean {
  const ready = new Set(nodes.filter(({ state }) => state === 'ready').map(({ name }) => name));
  return (node) => ready.has(node);
}

/** Whether a faulted replica's node is ready and has its disk: then it is asked what it still has. Pure. */
export function isBackOn(
  nodes: readonly NodeState[],
  nowMs: number,
): (replica: LostReplica) => boolean {
  return (replica) => {
    if (isGivenUp(replica)) return false;
    const node = nodes.find(({ name }) => name === replica.node);
    if (node?.state !== 'ready' || untilKnownMs(nodes, nowMs, replica) > 0) return false;
    return node.disks.some(({ id, lost }) => id === replica.disk && lost === undefined);
  };
}

const isGivenUp = ({ reuseFailures = 0 }: LostReplica): boolean =>
  reuseFailures >= MAX_REUSE_FAILURES;

/** Milliseconds until it is known whether a faulted replica is back: at most these, and often fewer. Pure. */
export function untilKnownMs(
  nodes: readonly NodeState[],
  nowMs: number,
  replica: LostReplica,
): number {
  const { node: name, faultedAtMs } = replica;
  if (isGivenUp(replica)) return 0;
  const node = nodes.find((candidate) => candidate.name === name);
  const lostAtMs = faultedAtMs ?? 0;
  const isNewlyReady = node?.state === 'ready' && Date.parse(node.since) > lostAtMs;
  if (node === undefined || node.state === 'down' || isNewlyReady) return 0;
  const settleMs = node.state === 'suspect' ? SUSPICION_MS : RETURN_SETTLE_MS;
  // A clock ahead of this one's may have told when it was lost.
  return Math.min(settleMs, Math.max(0, lostAtMs + settleMs - nowMs));
}
