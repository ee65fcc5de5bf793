import { defineStateMachine, type StateMachine } from '@lariat/kernel';
import type { VolumeContent } from './content.js';
import { DEFAULT_PLACEMENT, type PlacementPolicy } from './placement.js';
import { NO_QOS, type VolumeQos } from './qos.js';

export const VolumeState = Object.freeze({
  creating: 'creating',
  detached: 'detached',
  attaching: 'attaching',
  attached: 'attached',
  detaching: 'detaching',
  deleting: 'deleting',
} as const);
export type VolumeState = (typeof VolumeState)[keyof typeof VolumeState];

export type VolumeEvent =
  | 'created'
  | 'attach'
  | 'seize'
  | 'attached'
  | 'attach-undone'
  | 'detach'
  | 'detached'
  | 'delete';

/** The life of a volume. `seize` takes it from a node that is dead or cut off, for another one. From `deleting`, and where a create is undone, the record goes: there is no state after it. */
export const VOLUME_MACHINE: StateMachine<VolumeState, VolumeEvent> = defineStateMachine<
  VolumeState,
  VolumeEvent
>('volume', {
  creating: { created: 'detached', delete: 'deleting' },
  detached: { attach: 'attaching', delete: 'deleting' },
  attaching: { attached: 'attached', 'attach-undone': 'detached', detach: 'detaching' },
  attached: { detach: 'detaching', seize: 'attaching' },
  detaching: { detached: 'detached' },
  deleting: {},
});

export const Robustness = Object.freeze({
  healthy: 'healthy',
  degraded: 'degraded',
  faulted: 'faulted',
  unknown: 'unknown',
} as const);
export type Robustness = (typeof Robustness)[keyof typeof Robustness];

/** RW holds all acknowledged writes; WO gets writes while the rest is copied to it; ERR holds none that count. */
export const ReplicaMode = Object.freeze({ wo: 'WO', rw: 'RW', err: 'ERR' } as const);
export type ReplicaMode = (typeof ReplicaMode)[keyof typeof ReplicaMode];

export const ReplicaState = Object.freeze({
  creating: 'creating',
  ready: 'ready',
  rebuilding: 'rebuilding',
  faulted: 'faulted',
  removing: 'removing',
} as const);
export type ReplicaState = (typeof ReplicaState)[keyof typeof ReplicaState];

export const Frontend = Object.freeze({
  nvmf: 'nvmf',
  kernel: 'kernel',
  nbd: 'nbd',
  loop: 'loop',
} as const);
export type Frontend = (typeof Frontend)[keyof typeof Frontend];

export interface ReplicaRecord {
  readonly id: string;
  readonly node: string;
  readonly disk: string;
  readonly mode: ReplicaMode;
  readonly state: ReplicaState;
  /** Set once the lvol is known to exist. */
  readonly lvolUuid: string | null;
  /** Why it is faulted, for a person. */
  readonly reason: string | null;
  /** Milliseconds since 1970; null while it is not faulted. */
  readonly faultedAtMs: number | null;
  /** Rebuilds in a row that were to bring it up to date and were undone. Missing: none. */
  readonly reuseFailures?: number;
}

export interface SnapshotRecord {
  readonly id: string;
  readonly name: string;
  /** The volume's size when it was taken. */
  readonly sizeBytes: number;
  readonly createdAt: string;
  /** The snapshot beneath; null for the oldest. */
  readonly parent: string | null;
  /** False for one that an operation made for itself. */
  readonly user: boolean;
  /** Kept beneath clones of the volume, or for an image that is made of it, and deleted when the last of them has gone. */
  readonly madeFor?: 'clone';
  /** Of those that were taken at the same point in time, of several volumes. */
  readonly group?: string;
  /** Of its whole content, once several replicas were found to agree on it; it never changes. */
  readonly sha256?: string;
}

/**
 * A volume that was made from one of this volume's snapshots and may share clusters with it, or an image that is being made
 * of one: that shares nothing, and is forgotten when it is there.
 */
export interface CloneRecord {
  /** Id of the clone, or of the image. */
  readonly volume: string;
  /** Missing: it is a volume. */
  readonly kind?: 'image';
  readonly name: string;
  /** Id of this volume's snapshot. */
  readonly snapshot: string;
  /** Until it is ready its content is being read from this volume. */
  readonly state: 'creating' | 'ready';
  /** The operation that makes it, or has made it; missing: it was noted before that was. */
  readonly operation?: string;
}

/** A revert that may have replaced the heads of some replicas and not of others. */
export interface RevertRecord {
  readonly operation: string;
  /** Id of the snapshot. */
  readonly snapshot: string;
  /** It was given up: all members were gone before it was known which of them have made it. Missing: it goes on. */
  readonly isUnknown?: true;
}

/** What a volume was made from, by ids; either may be gone since. */
export interface VolumeSource {
  readonly volume: string;
  readonly snapshot: string;
}

/** What an operator wants of a volume's rebuilds, also of those to come. */
export interface RebuildControl {
  /** None begins by itself; one that runs waits before its next piece. */
  readonly paused: boolean;
  /** The most that a rebuild writes to the new replica; 0: no limit; null: as the service is set. */
  readonly mibPerSecond: number | null;
}

export const DEFAULT_REBUILD_CONTROL: RebuildControl = Object.freeze({
  paused: false,
  mibPerSecond: null,
});

/** Where NVMe/TCP hosts find a subsystem. */
export interface NvmfEndpoint {
  readonly nqn: string;
  readonly traddr: string;
  readonly trsvcid: string;
  readonly uuid: string;
}

export interface AttachmentRecord {
  readonly epoch: number;
  readonly node: string;
  readonly frontend: Frontend;
  /** What a user opens: `nvme+tcp://…` or `nbd+unix:///?socket=…`; null until it is there. */
  readonly endpoint: string | null;
  readonly engine: NvmfEndpoint | null;
  /**
   * Of `nvmf`: the hosts that may connect. Missing: another frontend; or it was attached when there were no such lists, and
   * any host may connect until it is attached anew (docs/adr/0040).
   */
  readonly hostNqns?: readonly string[];
  /** The node that it was taken from by force, until its engine is known to have stopped or to be locked out. */
  readonly seizedFrom: string | null;
  /** Ids of the replicas that hold all acknowledged writes (invariant 4). */
  readonly inSync: readonly string[];
}

/** The whole of a volume, one KV entry, changed only by compare-and-set (invariant 6). */
export interface VolumeRecord {
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly replicaCount: number;
  readonly state: VolumeState;
  readonly content: VolumeContent;
  readonly labels: Readonly<Record<string, string>>;
  /** Missing: DEFAULT_PLACEMENT. */
  readonly placement?: PlacementPolicy;
  readonly createdAt: string;
  /** UUID of the raid bdev and of the namespace: the same on whichever node the volume is attached. */
  readonly uuid: string;
  /** The highest epoch that any attachment of it had. */
  readonly epoch: number;
  /** False from the moment an engine may write until it is known to have stopped. */
  readonly clean: boolean;
  readonly attachment: AttachmentRecord | null;
  readonly replicas: readonly ReplicaRecord[];
  readonly snapshots: readonly SnapshotRecord[];
  /** The snapshot beneath the head. */
  readonly headParent: string | null;
  /** Missing: none is under way, and no head differs for it. */
  readonly reverting?: RevertRecord;
  /** Missing: NO_QOS. */
  readonly qos?: VolumeQos;
  /** Missing: it was made empty. */
  readonly source?: VolumeSource;
  /** Id of the image that its replicas stand on, from its first write on; missing or null: none. */
  readonly image?: string | null;
  /** Missing: none. */
  readonly clones?: readonly CloneRecord[];
  /** Missing: DEFAULT_REBUILD_CONTROL. */
  readonly rebuild?: RebuildControl;
  /** The operation that holds the volume; null when none does. */
  readonly operation: string | null;
  /** Counts the changes of the record; missing: 0. Copies of it are told apart by it (record-position.ts). */
  readonly revision?: number;
  /** How often the record was put back from copies; missing: 0. */
  readonly generation?: number;
  /** Put back by a recovery that could not tell whether it is the newest, and why. Nothing but a delete may use it. */
  readonly inDoubt?: readonly string[];
}

/** A volume as callers see it: design section 3. */
export interface VolumeView {
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly replicaCount: number;
  readonly state: VolumeState;
  readonly robustness: Robustness;
  readonly content: VolumeContent;
  /** Id of the image that it was made from, also of the volume that it is a clone of. */
  readonly image: string | null;
  readonly attachment: {
    readonly epoch: number;
    readonly node: string;
    readonly frontend: Frontend;
    readonly endpoint: string | null;
    /** Of `nvmf`, as whom to connect; null: another frontend, or any host. */
    readonly hostNqns: readonly string[] | null;
    readonly inSync: readonly string[];
  } | null;
  readonly replicas: readonly {
    readonly id: string;
    readonly node: string;
    readonly disk: string;
    readonly mode: ReplicaMode;
    readonly state: ReplicaState;
    readonly reason: string | null;
  }[];
  readonly operation: string | null;
  readonly createdAt: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly placement: PlacementPolicy;
  readonly qos: VolumeQos;
  readonly source: VolumeSource | null;
  readonly clones: readonly CloneRecord[];
  /** Why its record may not be the newest; missing: it is. 'lariat recover' settles it. */
  readonly inDoubt?: readonly string[];
  /** Missing: nothing is asked of its rebuilds. */
  readonly rebuild?: RebuildControl;
}

/** What a rebuild did. */
export interface RebuildSummary {
  readonly replica: string;
  readonly node: string;
  /** Whether a lost replica that came back was brought up to date; false: a new one was made. */
  readonly reused: boolean;
  /** Snapshots of the lost replica that were found whole and kept. */
  readonly keptSnapshots: number;
  /** What went from node to node for the snapshots and the head; writes that users made meanwhile are not in it. */
  readonly copiedBytes: number;
}

/** A volume as a rebuild leaves it. */
export interface RebuiltVolumeView extends VolumeView {
  readonly rebuilt: RebuildSummary;
}

/** Snapshots of several volumes, of one point in time. */
export interface SnapshotGroupView {
  readonly id: string;
  readonly snapshots: readonly SnapshotView[];
}

export interface SnapshotView extends SnapshotRecord {
  readonly volume: string;
}

export interface ReplicaView {
  readonly id: string;
  readonly volume: string;
  readonly node: string;
  readonly disk: string;
  readonly mode: ReplicaMode;
  readonly state: ReplicaState;
  readonly reason: string | null;
  /** Progress of its rebuild; null when none runs. */
  readonly rebuild: {
    readonly operation: string;
    readonly doneBytes: number;
    readonly totalBytes: number;
  } | null;
}

/** Whether the volume is in a state that no operation has to lead it out of. */
export const isAtRest = ({ state }: Pick<VolumeRecord, 'state'>): boolean =>
  state === VolumeState.attached || state === VolumeState.detached;

/** Healthy is judged by what is on record, not by what a cache last heard. */
export function robustnessOf(
  record: Pick<VolumeRecord, 'state' | 'replicas' | 'replicaCount' | 'inDoubt'>,
): Robustness {
  if (record.state === 'creating' || record.state === 'deleting') return Robustness.unknown;
  // Nobody knows whether its in-sync set is the last one.
  if (record.inDoubt !== undefined) return Robustness.faulted;
  const inSync = record.replicas.filter((replica) => replica.mode === ReplicaMode.rw).length;
  if (inSync === 0) return Robustness.faulted;
  return inSync < record.replicaCount ? Robustness.degraded : Robustness.healthy;
}

export function toVolumeView(record: VolumeRecord): VolumeView {
  return {
    id: record.id,
    name: record.name,
    sizeBytes: record.sizeBytes,
    replicaCount: record.replicaCount,
    state: record.state,
    robustness: robustnessOf(record),
    content: record.content,
    image: record.image ?? null,
    attachment:
      record.attachment === null
        ? null
        : {
            epoch: record.attachment.epoch,
            node: record.attachment.node,
            frontend: record.attachment.frontend,
            endpoint: record.attachment.endpoint,
            hostNqns: record.attachment.hostNqns ?? null,
            inSync: record.attachment.inSync,
          },
    replicas: record.replicas.map(({ id, node, disk, mode, state, reason }) => ({
      id,
      node,
      disk,
      mode,
      state,
      reason,
    })),
    operation: record.operation,
    createdAt: record.createdAt,
    labels: record.labels,
    placement: record.placement ?? DEFAULT_PLACEMENT,
    ...(record.inDoubt === undefined ? {} : { inDoubt: record.inDoubt }),
    qos: record.qos ?? NO_QOS,
    source: record.source ?? null,
    clones: record.clones ?? [],
    ...(record.rebuild === undefined ? {} : { rebuild: record.rebuild }),
  };
}
