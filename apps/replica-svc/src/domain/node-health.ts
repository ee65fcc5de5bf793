import { NodeState } from '@lariat/contracts';

/**
 * One missed heartbeat is noise; after these it is evidence. The agent sends one a second, and one that died is
 * back within about 4 s on a busy machine: that is no node that is down.
 */
export const SUSPECT_AFTER_MS = 2_500;
export const DOWN_AFTER_MS = 8_000;

export interface Observation {
  /** Since the last heartbeat, by the observer's monotonic clock. */
  readonly silentMs: number;
  /** What the last heartbeat said of the node's target. */
  readonly targetReady: boolean;
  /** Why it is not, in the agent's words. */
  readonly targetFault?: string | undefined;
}

export interface Verdict {
  readonly state: NodeState;
  readonly reason: string;
}

/** A node's state from what was last heard of it. Pure. */
export function judgeNode({ silentMs, targetReady, targetFault }: Observation): Verdict {
  if (silentMs >= DOWN_AFTER_MS)
    return { state: NodeState.down, reason: `no heartbeat for ${DOWN_AFTER_MS / 1000} s` };
  if (silentMs >= SUSPECT_AFTER_MS)
    return { state: NodeState.suspect, reason: `no heartbeat for ${SUSPECT_AFTER_MS / 1000} s` };
  if (!targetReady) {
    const why = targetFault === undefined ? '' : `: ${targetFault}`;
    return { state: NodeState.suspect, reason: `its target does not answer${why}` };
  }
  return { state: NodeState.ready, reason: 'heartbeats arrive' };
}
