import type { NodeView } from './node.js';

/** A replica on a node, and the volume that it is of. */
export interface ReplicaThere {
  readonly volume: string;
  /** The volume's name. */
  readonly name: string;
  readonly replica: string;
}

/** What came of the removal of a node. */
export interface NodeRemoval {
  /** Names of the volumes that were attached there, and are detached now. */
  readonly detached: readonly string[];
  /** Taken off their volumes' records; others hold what they held. */
  readonly dropped: readonly ReplicaThere[];
  /** No other replica holds what they held: they stay on record, and count again if the node is back with its disk. */
  readonly lost: readonly ReplicaThere[];
  /** Left to the operation that works on their volume. */
  readonly left: readonly ReplicaThere[];
  /** Names of the images that have no other copy. */
  readonly lostImages: readonly string[];
  /** What was found there without an owner, and is found again if the node is back. */
  readonly orphans: number;
}

/** The node as it was, and what came of its removal. */
export interface RemovedNodeView extends NodeView {
  readonly removal: NodeRemoval;
}
