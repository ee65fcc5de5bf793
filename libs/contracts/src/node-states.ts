import { type StateMachine, defineStateMachine } from '@lariat/kernel';

/** What is heard of a node. `removed` is no state of a record: with it the record goes. */
export const NodeState = Object.freeze({
  ready: 'ready',
  suspect: 'suspect',
  down: 'down',
} as const);
export type NodeState = (typeof NodeState)[keyof typeof NodeState];

/**
 * heard: heartbeats arrive, and its target answers. missed: some are missing. silent: so many that it is taken for dead.
 * target-lost: it lives, and its target does not answer. wavers: it is back once more, and may be gone again in a moment.
 */
export type NodeEvent = 'heard' | 'missed' | 'silent' | 'target-lost' | 'wavers' | 'remove';

/** The life of a node. Two missed heartbeats lead to `suspect` at most, and what was declared down comes back by being heard. */
export const NODE_MACHINE: StateMachine<NodeState | 'removed', NodeEvent> = defineStateMachine<
  NodeState | 'removed',
  NodeEvent
>('node', {
  ready: { missed: 'suspect', 'target-lost': 'suspect', silent: 'down' },
  suspect: { heard: 'ready', silent: 'down' },
  down: { heard: 'ready', 'target-lost': 'suspect', wavers: 'suspect', remove: 'removed' },
  removed: {},
});

/**
 * What an operator wants of a node, whatever is heard of it. open: it gets new replicas and engines. cordoned: none. draining:
 * none, and what it has is moved away. drained: none, and it had nothing left.
 */
export const NodeDuty = Object.freeze({
  open: 'open',
  cordoned: 'cordoned',
  draining: 'draining',
  drained: 'drained',
} as const);
export type NodeDuty = (typeof NodeDuty)[keyof typeof NodeDuty];

/** drain-ended: it was cancelled, or something could not be moved. */
export type NodeDutyEvent = 'cordon' | 'uncordon' | 'drain' | 'drained' | 'drain-ended';

/** A drain that ends early leaves the node cordoned: what it has moved stays away until somebody opens it. */
export const NODE_DUTY_MACHINE: StateMachine<NodeDuty, NodeDutyEvent> = defineStateMachine<
  NodeDuty,
  NodeDutyEvent
>('node-duty', {
  open: { cordon: 'cordoned', drain: 'draining' },
  cordoned: { uncordon: 'open', drain: 'draining' },
  draining: {
    ...{ uncordon: 'open', drained: 'drained', 'drain-ended': 'cordoned' },
    // Of one whose operation is not on record any more.
    drain: 'draining',
  },
  drained: { uncordon: 'open', drain: 'draining' },
});

/** What a node's state was judged by, as it was when the state changed. */
export interface NodeEvidence {
  /** Who judged: an instance of the service that hears heartbeats, or the node's agent when it registered. */
  readonly judge: string;
  /** The last heartbeat that was heard; null: none since the judge began to listen. */
  readonly heartbeat: {
    readonly at: string;
    readonly agentInstance: string;
    readonly sequence: number;
    readonly targetReady: boolean;
  } | null;
  /** Heartbeats that should have come since. */
  readonly missed: number;
  /** When the same agent came back, lately: one that does so again and again is not believed at once. */
  readonly returnedAt: readonly string[];
}
