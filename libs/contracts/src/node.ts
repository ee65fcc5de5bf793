import type { ImageCopyReport } from './image.js';
import type { NodeDuty, NodeEvidence, NodeState } from './node-states.js';
import type { UnownedSight } from './orphan.js';
import type { RecordPosition } from './record-position.js';
import type { Frontend } from './volume.js';

/** Why a disk can't be used, as its agent found it. */
export interface LostDisk {
  readonly reason: string;
  readonly since: string;
}

/** Whether volumes can be used in that way on a node. */
export interface FrontendOffer {
  readonly frontend: Frontend;
  readonly available: boolean;
  /** What is missing for it; null when nothing is. */
  readonly reason: string | null;
}

/**
 * What can hold for a moment what is written to a volume that is attached on a node, as snapshots and rebuilds of it need: the
 * target, whatever the frontend, or the volume's block device alone, with frontend `kernel` (docs/adr/0039).
 */
export const WRITE_GATES = ['target', 'device'] as const;
export type WriteGate = (typeof WRITE_GATES)[number];

export interface DiskRecord {
  readonly id: string;
  readonly name: string;
  readonly path: string;
  readonly tags: readonly string[];
  /** The lvol store's UUID. */
  readonly lvsUuid: string;
  readonly capacityBytes: number;
  readonly clusterSizeBytes: number;
  /** Missing: it is not. */
  readonly lost?: LostDisk;
}

/** An lvol store of this cluster, and the node that had it last. */
export interface StoreRecord {
  /** The disk's id, which is the store's name. */
  readonly disk: string;
  readonly lvsUuid: string;
  readonly node: string;
}

/** What an operator has set on a disk; kept while the disk is on record, whatever its agent registers. */
export interface DiskSettings {
  /** Null: those that the disk was added with. */
  readonly tags: readonly string[] | null;
  /** False: no new replicas are placed on it. */
  readonly schedulable: boolean;
  /** Never promised to replicas. */
  readonly reservedBytes: number;
  /** What may be promised, in percent of the capacity without the reserve; over 100 overcommits thin replicas. */
  readonly overProvisioningPercent: number;
}

/** A disk of which nothing is set: all of it may be promised, once. */
export const DEFAULT_DISK_SETTINGS: DiskSettings = Object.freeze({
  tags: null,
  schedulable: true,
  reservedBytes: 0,
  overProvisioningPercent: 100,
});

/** What an operator has set on a node; the agent's own registration does not change it. */
export interface NodeSettings {
  readonly tags: readonly string[];
  /** Null: the zone that the agent was started with. */
  readonly zone: string | null;
  /** By disk id. */
  readonly disks: Readonly<Record<string, DiskSettings>>;
}

/** What is on record of a node beside what its agent registers; the agent keeps a copy, for a store that has lost it. */
export type KeptNode = Pick<NodeRecord, 'schedulable' | 'duty' | 'settings'>;

export const DEFAULT_NODE_SETTINGS: NodeSettings = Object.freeze({
  tags: [],
  zone: null,
  disks: {},
});

export interface NodeRecord {
  readonly name: string;
  readonly state: NodeState;
  /** Why the node is in this state, and since when. */
  readonly reason: string;
  readonly since: string;
  /** What the state was judged by; missing: noted by nobody. */
  readonly evidence?: NodeEvidence;
  /** False: no new replicas are placed here, and no new engines run here. */
  readonly schedulable: boolean;
  /** Missing: `dutyOf`. */
  readonly duty?: NodeDuty;
  /** The operation that drains it, or did so last. */
  readonly drain?: string;
  readonly zone: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Address and port of the node's NVMe/TCP listener. */
  readonly traddr: string;
  readonly trsvcid: string;
  /** As its agent found them at its start. */
  readonly frontends: readonly FrontendOffer[];
  /** `soft-target 0.1.0`, `SPDK v26.05` */
  readonly target: string;
  /** Missing: its agent has not told. */
  readonly writeGate?: WriteGate;
  readonly agentVersion: string;
  /** Changes with every start of the agent. */
  readonly agentInstance: string;
  readonly disks: readonly DiskRecord[];
  /** Missing: DEFAULT_NODE_SETTINGS. */
  readonly settings?: NodeSettings;
}

/** What an operator wants of the node; records from before there were drains say only whether it takes new things. */
export const dutyOf = ({ duty, schedulable }: Pick<NodeRecord, 'duty' | 'schedulable'>): NodeDuty =>
  duty ?? (schedulable ? 'open' : 'cordoned');

/** A disk's settings, or the defaults. */
export function diskSettingsOf(node: Pick<NodeRecord, 'settings'>, disk: string): DiskSettings {
  return node.settings?.disks[disk] ?? DEFAULT_DISK_SETTINGS;
}

/** The failure zone that counts: the one that was set, else the agent's. */
export function zoneOf(node: Pick<NodeRecord, 'zone' | 'settings'>): string {
  return node.settings?.zone ?? node.zone;
}

/** The most that placement promises on a disk, in bytes. */
export function allocatableBytes(
  capacityBytes: number,
  { reservedBytes, overProvisioningPercent }: DiskSettings,
): number {
  const usableBytes = Math.max(0, capacityBytes - reservedBytes);
  // In two parts: the product of a large disk and a percentage would pass 2^53 and lose its last digits.
  const bytes =
    Math.floor(usableBytes / 100) * overProvisioningPercent +
    Math.floor(((usableBytes % 100) * overProvisioningPercent) / 100);
  return Math.min(bytes, Number.MAX_SAFE_INTEGER);
}

/** lost: it is gone, can't be read, or has not its store; it comes back by itself. */
export type DiskState = 'ready' | 'lost';

export interface DiskView {
  readonly id: string;
  readonly node: string;
  readonly state: DiskState;
  /** Why it is lost, and since when; null when it is not. */
  readonly reason: string | null;
  readonly since: string | null;
  readonly name: string;
  readonly path: string;
  readonly tags: readonly string[];
  readonly capacityBytes: number;
  /** False: no new replicas are placed on it. */
  readonly schedulable: boolean;
  readonly reservedBytes: number;
  readonly overProvisioningPercent: number;
  /** The most that may be promised: the capacity without the reserve, times the percentage. */
  readonly allocatableBytes: number;
  /** Sum of the sizes of the replicas and copies of images placed on it, thin or not. */
  readonly scheduledBytes: number;
  /** What may still be promised. */
  readonly availableBytes: number;
  readonly replicas: number;
  /** Copies of images, there or on their way. */
  readonly images: number;
}

export interface NodeView extends Omit<NodeRecord, 'disks' | 'settings'> {
  readonly duty: NodeDuty;
  readonly tags: readonly string[];
  readonly disks: readonly DiskView[];
}

/**
 * A promise that no volume record stands behind yet: whoever asked for it may have died. It ends by itself when
 * the volume does not count the replica by then.
 */
export interface CapacityLease {
  readonly volume: string;
  /** Of the request that made or last renewed it: no other request takes the promise back. */
  readonly token: string;
  /** Promises that the request is to have under its token: with fewer it may be refused yet, and give this one back. Missing: not told. */
  readonly places?: number;
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
}

/** What placement has promised on one disk: the sum may not pass what is allocatable. One KV entry a disk. */
export interface AllocationRecord {
  readonly disk: string;
  readonly node: string;
  /** Replica id -> bytes. */
  readonly replicas: Readonly<Record<string, number>>;
  /** Image id -> bytes of its copy on the disk; missing: none. They count against the limit like replicas. */
  readonly images?: Readonly<Record<string, number>>;
  /** Replica id -> its lease; those without one are on their volume's record. */
  readonly leases?: Readonly<Record<string, CapacityLease>>;
}

/** Sent by an agent once a second over core NATS; tells that the node lives and what target it has. */
export interface Heartbeat {
  readonly node: string;
  readonly agentInstance: string;
  readonly sequence: number;
  readonly targetReady: boolean;
  /** Why its target is not ready; missing: it is, or the agent does not say. */
  readonly targetFault?: string;
}

/** What an agent owns and sees, sent when it changes and at least every 10 s. */
export interface Inventory {
  readonly node: string;
  readonly agentInstance: string;
  readonly replicas: readonly {
    readonly replica: string;
    readonly volume: string;
    /** Of the copy of the volume's record that is kept beside it; missing or null: there is none. */
    readonly record?: RecordPosition | null;
    /** Why its head is known to be gone from its disk; missing: nothing says so. */
    readonly absent?: string;
    /** Its head, as it was made; missing: it has none. */
    readonly head?: {
      readonly uuid: string;
      readonly disk: string;
      readonly sizeBytes: number;
    };
  }[];
  readonly engines: readonly EngineReport[];
  /** Missing: from an agent that knows of no images. */
  readonly images?: readonly ImageCopyReport[];
  /** What has no owner; missing: not known, as its target does not answer. */
  readonly unowned?: UnownedSight;
}

/** The state of one engine: which of its legs take writes. */
export interface EngineReport {
  readonly volume: string;
  readonly epoch: number;
  /** Replica ids of the legs that the raid still has. */
  readonly operational: readonly string[];
  /** Legs that it was started with and has lost, with the evidence. */
  readonly lost: readonly { readonly replica: string; readonly reason: string }[];
}
