import type {
  HeldSnapshot,
  PlacementPolicy,
  ReplicaRecord,
  VolumeRecord,
  VolumeView,
} from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import { deriveReplicaId, deriveSnapshotId } from '@lariat/kernel';
import type { SagaStep, StepContext } from '@lariat/saga';
import type { Allocator } from '../adapters/allocator.js';
import type { NodeStore } from '../adapters/node-store.js';
import type { ImageRecords } from '../adapters/image-records.js';
import type { OrphanStore } from '../adapters/orphan-store.js';
import type { VolumeView as Volumes } from '../adapters/volume-view.js';
import type { ResyncPlan } from '../domain/plan-resync.js';
import type { Site } from '../domain/spread.js';

export interface RebuildDeps {
  readonly volumes: Volumes;
  readonly nodes: NodeStore;
  readonly allocator: Allocator;
  readonly images: ImageRecords;
  readonly orphans: OrphanStore;
  /** Whether the node has told that it has the replica on record. */
  readonly isHeld: (node: string, replica: string) => boolean;
  readonly clock: Clock;
  /** For rebuilds of which nothing else is asked; missing or 0: no limit. */
  readonly limitMibPerSecond?: number;
  /** Of writers, while a replica joins; missing: DEFAULT_STALL_MS. */
  readonly stallMs?: number;
}

export interface RebuildInput {
  readonly volume: string;
  /** The faulted replica to replace; null: one is chosen. */
  readonly replica: string | null;
  /** False: what a lost replica that is back still has is not used. */
  readonly reuse?: boolean;
  /** A move of that replica, healthy or not, to one of these disks. */
  readonly toDisks?: readonly string[];
}

export interface ReplicaPlace {
  readonly id: string;
  readonly node: string;
  readonly disk: string;
}

export interface RebuildMemory {
  readonly replaced: ReplicaPlace | null;
  /** The faulted replica as it was on record, when its node and disk are there again; null: it is not back. */
  readonly returning: ReplicaRecord | null;
  /** What it still has; null: it is not reused, and a new one is made. */
  readonly held: readonly HeldSnapshot[] | null;
  readonly plan: ResyncPlan;
  readonly source: ReplicaPlace;
  readonly target: ReplicaPlace;
  /** Names the join snapshot of the attempt that was begun last. */
  readonly join: string;
  /** The volume's other replicas, and how strictly the new one is kept apart from them. */
  readonly others: readonly Site[];
  readonly placement: PlacementPolicy;
  readonly sizeBytes: number;
  /** Null when the volume is detached: then nothing writes and no gate is needed. */
  readonly engine: { readonly node: string; readonly epoch: number } | null;
  /** The image that the target's copies stand on, as the source does; null: none, or it can't be had: all is copied. */
  readonly image: string | null;
  /** Snapshots that the target has a frozen copy of. */
  readonly copied: readonly string[];
  readonly copiedClusters: number;
  /** How far the snapshot that is made from the old head is. */
  readonly patched: { readonly snapshot: string; readonly nextCluster: number };
  /** A member keeps that the replaced one does not count: its engine may have let go of it since. */
  readonly retired: boolean;
  /** It was given up, and its engine has kept the new replica as the only leg. */
  readonly stays: boolean;
  /** The volume as the rebuild leaves it, for the answer. */
  readonly view: VolumeView;
}

export type RebuildContext = StepContext<RebuildInput, RebuildMemory>;
export type RebuildStep = SagaStep<RebuildInput, RebuildMemory>;

export const targetId = (operation: string): string => deriveReplicaId(operation, 'target');
/**
 * The snapshot at which the new replica joined: below it all is copied, above it all is written to every leg. Each attempt
 * has one of its own: where a node could not be asked to delete the one before, it would be taken for the new one.
 */
export const joinSnapshotId = ({
  operation,
  memory,
}: Pick<RebuildContext, 'operation' | 'memory'>): string =>
  deriveSnapshotId(operation, memory.join ?? 'join');

/** A value that an earlier step has remembered. */
export function remembered<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`the journal of this rebuild has no '${name}'`);
  return value;
}

/** Whether the rebuild brings a lost replica up to date instead of making a new one. */
export const isReuse = ({ held = null }: RebuildContext['memory']): boolean => held !== null;

export const inSyncReplicas = (record: VolumeRecord): VolumeRecord['replicas'] =>
  record.replicas.filter(({ mode }) => mode === 'RW');
