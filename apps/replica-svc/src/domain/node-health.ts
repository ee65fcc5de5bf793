import { NODE_MACHINE, type NodeEvent, type NodeRecord, type NodeState } from '@lariat/contracts';

/**
 * One missed heartbeat is noise; after these it is evidence. The agent sends one a second, and one that died is
 * back within about 4 s on a busy machine: that is no node that is down.
 */
export const HEARTBEAT_MS = 1_000;
export const SUSPECT_AFTER_MS = 2_500;
export const DOWN_AFTER_MS = 8_000;
export const JUDGE_EVERY_MS = 500;
/** From the moment in which a node dies: its last heartbeat came before that. */
export const DECLARED_DOWN_WITHIN_MS = DOWN_AFTER_MS + JUDGE_EVERY_MS;
/** An agent that has come back as often as this within a minute must be heard for a while before it is believed again. */
export const WAVERS_AFTER_RETURNS = 3;
const RETURNS_COUNT_FOR_MS = 60_000;
export const STEADY_AFTER_MS = 5_000;

export interface Observation {
  /** Since the last heartbeat, by the observer's monotonic clock. */
  readonly silentMs: number;
  /** Since heartbeats began to arrive without a gap. */
  readonly steadyMs: number;
  /** What the last heartbeat said of the node's target. */
  readonly targetReady: boolean;
  /** Why it is not, in the agent's words. */
  readonly targetFault?: string | undefined;
  /** How often its agent has come back lately. */
  readonly returns: number;
}

export interface Judgement {
  readonly event: NodeEvent;
  readonly reason: string;
}

export interface Verdict {
  readonly state: NodeState;
  readonly reason: string;
}

/** What is to be said of a node from what was last heard of it. Pure. */
export function judgeNode({
  silentMs,
  steadyMs,
  targetReady,
  targetFault,
  returns,
}: Observation): Judgement {
  if (silentMs >= DOWN_AFTER_MS)
    return { event: 'silent', reason: `no heartbeat for ${DOWN_AFTER_MS / 1000} s` };
  if (silentMs >= SUSPECT_AFTER_MS)
    return { event: 'missed', reason: `no heartbeat for ${SUSPECT_AFTER_MS / 1000} s` };
  if (!targetReady) {
    const why = targetFault === undefined ? '' : `: ${targetFault}`;
    return { event: 'target-lost', reason: `its target does not answer${why}` };
  }
  if (returns >= WAVERS_AFTER_RETURNS && steadyMs < STEADY_AFTER_MS)
    return {
      event: 'wavers',
      reason: `it was away and back ${returns} times within a minute, and is not steady yet`,
    };
  return { event: 'heard', reason: 'heartbeats arrive' };
}

/** The node's next state; undefined when it stays as it is. Pure. */
export function verdictOn(state: NodeState, { event, reason }: Judgement): Verdict | undefined {
  if (!NODE_MACHINE.can(state, event)) return undefined;
  const next = NODE_MACHINE.next(state, event);
  return next === 'removed' ? undefined : { state: next, reason };
}

/** How often the node's agent has come back within the last minute. Pure. */
export const returnsOf = ({ evidence }: Pick<NodeRecord, 'evidence'>, nowMs: number): number =>
  recentReturns(evidence?.returnedAt ?? [], nowMs).length;

/** The same with one more; those of an agent that has been replaced since say nothing of the new one. Pure. */
export function withReturn(
  { evidence }: Pick<NodeRecord, 'evidence'>,
  agentInstance: string | undefined,
  nowMs: number,
): readonly string[] {
  const isSame = evidence?.heartbeat?.agentInstance === agentInstance;
  const before = isSame ? recentReturns(evidence?.returnedAt ?? [], nowMs) : [];
  return [...before, new Date(nowMs).toISOString()].slice(-WAVERS_AFTER_RETURNS);
}

const recentReturns = (returnedAt: readonly string[], nowMs: number): readonly string[] =>
  returnedAt.filter((at) => nowMs - Date.parse(at) < RETURNS_COUNT_FOR_MS);
