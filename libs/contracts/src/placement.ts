/**
 * How strictly the replicas of a volume are kept apart: `hard` refuses to put two into one, `soft` does so only
 * when there is no other place, `off` does not look.
 */
export const AntiAffinity = Object.freeze({ hard: 'hard', soft: 'soft', off: 'off' } as const);
export type AntiAffinity = (typeof AntiAffinity)[keyof typeof AntiAffinity];

/** Where the replicas of one volume may be; kept with the volume, so that a rebuild obeys it too. */
export interface PlacementPolicy {
  /** Two replicas on one node. */
  readonly node: AntiAffinity;
  /** Two replicas in one failure zone. */
  readonly zone: AntiAffinity;
  /** Two replicas on one disk; matters only where `node` is not hard. */
  readonly disk: AntiAffinity;
  /** A node must have all of these tags. */
  readonly nodeTags: readonly string[];
  /** A disk must have all of these tags. */
  readonly diskTags: readonly string[];
}

/** What a volume has that says nothing of placement: a node is never shared, a zone or a disk only in need. */
export const DEFAULT_PLACEMENT: PlacementPolicy = Object.freeze({
  node: AntiAffinity.hard,
  zone: AntiAffinity.soft,
  disk: AntiAffinity.soft,
  nodeTags: [],
  diskTags: [],
});

/** What a request leaves out is as in DEFAULT_PLACEMENT. */
export function toPlacementPolicy(asked: Partial<PlacementPolicy> | undefined): PlacementPolicy {
  const { node, zone, disk, nodeTags, diskTags } = asked ?? {};
  return {
    node: node ?? DEFAULT_PLACEMENT.node,
    zone: zone ?? DEFAULT_PLACEMENT.zone,
    disk: disk ?? DEFAULT_PLACEMENT.disk,
    nodeTags: [...new Set(nodeTags ?? [])],
    diskTags: [...new Set(diskTags ?? [])],
  };
}

/** Why a disk can't take a replica. */
export const PlacementObstacle = Object.freeze({
  nodeNotReady: 'node-not-ready',
  nodeCordoned: 'node-cordoned',
  nodeExcluded: 'node-excluded',
  nodeTagsMissing: 'node-tags-missing',
  diskLost: 'disk-lost',
  diskCordoned: 'disk-cordoned',
  diskExcluded: 'disk-excluded',
  diskTagsMissing: 'disk-tags-missing',
  zoneTaken: 'zone-taken',
  nodeTaken: 'node-taken',
  diskTaken: 'disk-taken',
  noRoom: 'no-room',
} as const);
export type PlacementObstacle = (typeof PlacementObstacle)[keyof typeof PlacementObstacle];

/** One disk's part in a placement that failed. */
export interface DiskVerdict {
  readonly node: string;
  readonly zone: string;
  /** The disk's id. */
  readonly disk: string;
  readonly name: string;
  /** What placement may still promise on it. */
  readonly freeBytes: number;
  /** Replicas of the request that it has or would have taken, had there been room for the others too. */
  readonly chosen: number;
  /** Why it takes no (further) one; for a person, and as data. */
  readonly reasons: readonly {
    readonly obstacle: PlacementObstacle;
    readonly message: string;
  }[];
}

/** `details` of NO_CAPACITY and NOT_ENOUGH_NODES. */
export interface PlacementExplanation {
  /** The error's message without the disks. */
  readonly summary: string;
  readonly wanted: number;
  /** How many of the wanted replicas found a place. */
  readonly placed: number;
  readonly sizeBytes: number;
  /** Those with the most to say first; at most MAX_EXPLAINED_DISKS. */
  readonly disks: readonly DiskVerdict[];
  /** Disks that were looked at and are not in the list. */
  readonly omittedDisks: number;
  /** Over all disks: how many each obstacle rules out. */
  readonly obstacles: Readonly<Partial<Record<PlacementObstacle, number>>>;
}

/** An error is stored with its operation and sent in one message: a large cluster's disks do not all go into it. */
export const MAX_EXPLAINED_DISKS = 64;
