import type { RequestName } from '@lariat/bus';
import type { DtoClass } from './dto/validation.js';
import {
  AddDiskRequest,
  DrainNodeRequest,
  ListDisksRequest,
  ListNodesRequest,
  NodeReference,
  RemoveDiskRequest,
  RemoveNodeRequest,
  RestartTargetRequest,
  UpdateDiskRequest,
  UpdateNodeRequest,
} from './dto/node.dto.js';
import { ListAuditRequest } from './dto/audit.dto.js';
import { ListDeadLettersRequest } from './dto/dead-letter.dto.js';
import {
  CreateImageRequest,
  DeleteImageRequest,
  ImageReference,
  ListImagesRequest,
  VerifyImageRequest,
} from './dto/image.dto.js';
import {
  ChangeVolumeRecordRequest,
  ClaimStoreRequest,
  EngineReportRequest,
  EnsureImageCopiesRequest,
  EvictImageCopiesRequest,
  ForgetNodeRequest,
  OpenCommandsRequest,
  OpenEventConsumerRequest,
  IdleImageCopiesRequest,
  ImageRecordRequest,
  ImageUsersRequest,
  LeaveDiskRequest,
  LendSnapshotRequest,
  NodeRegistration,
  PromiseImageCopyRequest,
  ReleaseImageCopyRequest,
  ReleaseRequest,
  ReserveGrowthRequest,
  ReserveRequest,
  ScaleVolumeRequest,
  VolumeRecordRequest,
} from './dto/internal.dto.js';
import {
  RecoverImagesRequest,
  RecoverRequest,
  RestoreAllocationsRequest,
} from './dto/recovery.dto.js';
import {
  ListOperationsRequest,
  OperationReference,
  WaitOperationRequest,
} from './dto/operation.dto.js';
import { DeleteOrphanRequest, ListOrphansRequest } from './dto/orphan.dto.js';
import {
  AttachVolumeRequest,
  ChangeVolumeRequest,
  CreateSnapshotGroupRequest,
  CreateSnapshotRequest,
  CreateVolumeRequest,
  DeleteVolumeRequest,
  ExpandVolumeRequest,
  ListSnapshotsRequest,
  ListVolumesRequest,
  MoveReplicaRequest,
  RebuildRequest,
  ReplicaChecksumRequest,
  UpdateRebuildRequest,
  ReplicaRequest,
  SetContentRequest,
  SnapshotReference,
  SnapshotRequest,
  UpdateVolumeRequest,
  VerifySnapshotRequest,
  VolumeReference,
} from './dto/volume.dto.js';
import type { AuditEntry } from './audit.js';
import type { PageFacts } from './dto/list.dto.js';
import type { DeadLetterView } from './dead-letter.js';
import type { EvacuationReport } from './evacuation.js';
import type { IdleImageCopy } from './idle-copies.js';
import type { ImageRecord, ImageVerification, ImageView } from './image.js';
import type { DiskView, NodeRecord, NodeView } from './node.js';
import type { RemovedNodeView } from './node-removal.js';
import type { OperationView } from './operation.js';
import type { OrphanOutcome, OrphanView } from './orphan.js';
import type { RecoveredImages, RecoveryReport } from './recovery.js';
import type {
  ReplicaView,
  RebuiltVolumeView,
  SnapshotGroupView,
  SnapshotView,
  VolumeRecord,
  VolumeView,
} from './volume.js';

/** What `"wait": false` is answered with. */
export interface OperationAccepted {
  readonly operation: OperationView;
}

/** What each replica's content hashes to. */
export interface ReplicaChecksums {
  readonly volume: string;
  readonly snapshot: string | null;
  readonly identical: boolean;
  readonly replicas: readonly {
    readonly replica: string;
    readonly node: string;
    readonly sha256: string;
  }[];
}

/**
 * identical: all copies agree, with what was found before too. repaired: those that differ were rebuilt. differs: some
 * do, and were left since no repair was asked for. undecided: they differ and nothing tells which are right; all were
 * left as they are.
 */
export type VerificationVerdict = 'identical' | 'repaired' | 'differs' | 'undecided';

/** What the copies of a snapshot hold, and what was done about those that differ. */
export interface SnapshotVerification {
  readonly volume: string;
  readonly snapshot: string;
  readonly verdict: VerificationVerdict;
  /** Of the right content; null when that is not known. */
  readonly sha256: string | null;
  /** As they were read first. */
  readonly replicas: readonly {
    readonly replica: string;
    readonly node: string;
    readonly sha256: string;
    /** Null when it is not known which are right. */
    readonly isRight: boolean | null;
  }[];
}

export interface DryRun {
  readonly dryRun: true;
  /** What would be done, for a person. */
  readonly would: readonly string[];
}

/** A target that was started anew, from the binary that is there now. */
export interface TargetRestarted {
  readonly node: string;
  /** The versions of the target before and after. */
  readonly from: string;
  readonly to: string;
}

/** Where one replica was placed. */
export interface Placement {
  readonly replica: string;
  readonly node: string;
  readonly disk: string;
}

/** Request and answer of each verb of the API, by its name below `lariat.v1.`. */
export interface RequestMap {
  'node.list': { request: ListNodesRequest; reply: { nodes: readonly NodeView[] } & PageFacts };
  'node.get': { request: NodeReference; reply: NodeView };
  'node.cordon': { request: NodeReference; reply: NodeView };
  'node.uncordon': { request: NodeReference; reply: NodeView };
  /** DRAIN_INCOMPLETE when something could not be moved, or is attached there. */
  'node.drain': { request: DrainNodeRequest; reply: EvacuationReport | DryRun };
  'node.remove': { request: RemoveNodeRequest; reply: RemovedNodeView | DryRun };
  'node.update': { request: UpdateNodeRequest; reply: NodeView };
  'node.restart-target': { request: RestartTargetRequest; reply: TargetRestarted | DryRun };
  'disk.list': { request: ListDisksRequest; reply: { disks: readonly DiskView[] } };
  'disk.add': { request: AddDiskRequest; reply: DiskView };
  'disk.remove': { request: RemoveDiskRequest; reply: DiskView | DryRun };
  'disk.update': { request: UpdateDiskRequest; reply: DiskView };
  'volume.create': { request: CreateVolumeRequest; reply: VolumeView };
  'volume.get': { request: VolumeReference; reply: VolumeView };
  'volume.list': {
    request: ListVolumesRequest;
    reply: { volumes: readonly VolumeView[] } & PageFacts;
  };
  'volume.delete': { request: DeleteVolumeRequest; reply: VolumeView | DryRun };
  'volume.update': { request: UpdateVolumeRequest; reply: VolumeView };
  'volume.expand': { request: ExpandVolumeRequest; reply: VolumeView };
  'volume.attach': { request: AttachVolumeRequest; reply: VolumeView };
  /** What becomes of an attached volume's content; answered when it is kept beside the replicas too (invariant 9). */
  'volume.detach': { request: ChangeVolumeRequest; reply: VolumeView };
  'snapshot.create': { request: CreateSnapshotRequest; reply: SnapshotView };
  'snapshot.create-group': { request: CreateSnapshotGroupRequest; reply: SnapshotGroupView };
  'snapshot.get': { request: SnapshotReference; reply: SnapshotView };
  'snapshot.list': {
    request: ListSnapshotsRequest;
    reply: { snapshots: readonly SnapshotView[] } & PageFacts;
  };
  'snapshot.delete': { request: SnapshotRequest; reply: SnapshotView };
  'snapshot.revert': { request: SnapshotRequest; reply: VolumeView };
  'snapshot.verify': { request: VerifySnapshotRequest; reply: SnapshotVerification };
  'replica.list': { request: VolumeReference; reply: { replicas: readonly ReplicaView[] } };
  'replica.remove': { request: ReplicaRequest; reply: VolumeView | DryRun };
  'replica.rebuild': { request: RebuildRequest; reply: RebuiltVolumeView };
  'replica.move': { request: MoveReplicaRequest; reply: VolumeView | DryRun };
  'rebuild.update': { request: UpdateRebuildRequest; reply: VolumeView };
  'replica.checksum': { request: ReplicaChecksumRequest; reply: ReplicaChecksums };
  'image.list': { request: ListImagesRequest; reply: { images: readonly ImageView[] } & PageFacts };
  'image.get': { request: ImageReference; reply: ImageView };
  'image.create': { request: CreateImageRequest; reply: ImageView };
  'image.verify': { request: VerifyImageRequest; reply: ImageVerification };
  'image.delete': { request: DeleteImageRequest; reply: ImageView | DryRun };
  'orphan.list': {
    request: ListOrphansRequest;
    reply: { orphans: readonly OrphanView[] } & PageFacts;
  };
  'orphan.delete': { request: DeleteOrphanRequest; reply: OrphanOutcome | DryRun };
  'operation.get': { request: OperationReference; reply: OperationView };
  /** Asks for it: what `operation.wait` answers says whether it was undone. */
  'operation.cancel': { request: OperationReference; reply: OperationView };
  'operation.list': {
    request: ListOperationsRequest;
    reply: { operations: readonly OperationView[] } & PageFacts;
  };
  'operation.wait': { request: WaitOperationRequest; reply: OperationView };
  'audit.list': { request: ListAuditRequest; reply: { entries: readonly AuditEntry[] } };
  'dead-letter.list': {
    request: ListDeadLettersRequest;
    reply: { deadLetters: readonly DeadLetterView[]; kept: number };
  };
  'cluster.recover': { request: RecoverRequest; reply: RecoveryReport };
  'internal.node.register': { request: NodeRegistration; reply: NodeRecord };
  /** Whether a store that a node has found is to be taken up by it. DISK_TAKEN when it is another node's, or of no cluster known. */
  'internal.node.claim-store': {
    request: ClaimStoreRequest;
    reply: Readonly<Record<string, never>>;
  };
  /** Makes what an agent takes its commands from. */
  'internal.node.open-commands': {
    request: OpenCommandsRequest;
    reply: Readonly<Record<string, never>>;
  };
  /** Makes what a plugin hears events from; one that has none of the services' names. */
  'internal.event.open-consumer': {
    request: OpenEventConsumerRequest;
    reply: Readonly<Record<string, never>>;
  };
  'internal.volume.report-engine': {
    request: EngineReportRequest;
    reply: { inSync: readonly string[] };
  };
  'internal.volume.record': { request: VolumeRecordRequest; reply: VolumeRecord };
  'internal.volume.change': { request: ChangeVolumeRecordRequest; reply: VolumeRecord };
  'internal.volume.set-content': { request: SetContentRequest; reply: VolumeView };
  'internal.volume.scale': { request: ScaleVolumeRequest; reply: VolumeView };
  /** Volumes whose record names the image, also those that are being made or deleted; read from JetStream. */
  'internal.volume.users-of-image': {
    request: ImageUsersRequest;
    reply: { volumes: readonly { readonly id: string; readonly name: string }[] };
  };
  /**
   * Keeps a snapshot of a volume for an image that is made of it, until the volume is told (`drop-clone`) or the import
   * has ended; without one, takes one of what the volume holds now. VOLUME_FAULTED, VOLUME_BUSY, SNAPSHOT_NOT_FOUND, SNAPSHOT_LIMIT.
   */
  'internal.volume.lend-snapshot': { request: LendSnapshotRequest; reply: SnapshotView };
  /** IMAGE_NOT_FOUND when there is none. */
  'internal.image.record': { request: ImageRecordRequest; reply: ImageRecord };
  /**
   * Answered when each of the disks has a ready copy, fetched from another node where it had none; asking again joins what
   * runs. IMAGE_NOT_FOUND, IMAGE_NOT_READY, IMAGE_COPY_FAILED, NO_CAPACITY. Such a copy stays for 60 s at least, so that a
   * replica can be made of it.
   */
  'internal.image.ensure-copies': {
    request: EnsureImageCopiesRequest;
    reply: { readonly ready: true };
  };
  /** Those that are told of alone; each stands for itself, and done again it changes nothing more. */
  'internal.image.recover': { request: RecoverImagesRequest; reply: RecoveredImages };
  /** The copies that may go where room is wanted; nothing is decided by it. */
  'internal.image.idle-copies': {
    request: IdleImageCopiesRequest;
    reply: { readonly copies: readonly IdleImageCopy[] };
  };
  /** Gives up those of the copies that may still go, and answers how many have gone, with what was promised to them. */
  'internal.image.evict-copies': {
    request: EvictImageCopiesRequest;
    reply: { readonly evicted: number };
  };
  /**
   * Answered when the disk has no copy of the image, one having been made elsewhere where there were too few; asking again
   * joins what runs. NO_CAPACITY, IMAGE_COPY_IN_USE, OPERATION_IN_PROGRESS, NODE_NOT_READY.
   */
  'internal.image.leave-disk': {
    request: LeaveDiskRequest;
    reply: Readonly<Record<string, never>>;
  };
  /** Takes the copies on a node that is removed off their images' records; names the images that have no other ready one. */
  'internal.image.forget-node': {
    request: ForgetNodeRequest;
    reply: { readonly lastCopies: readonly string[] };
  };
  'internal.placement.reserve': {
    request: ReserveRequest;
    reply: { placements: readonly Placement[] };
  };
  'internal.placement.grow': {
    request: ReserveGrowthRequest;
    reply: Readonly<Record<string, never>>;
  };
  'internal.placement.release': { request: ReleaseRequest; reply: Readonly<Record<string, never>> };
  /** Room for a copy of an image, before it is made; again changes nothing. NO_CAPACITY, DISK_NOT_FOUND. */
  'internal.placement.promise-copy': {
    request: PromiseImageCopyRequest;
    reply: Readonly<Record<string, never>>;
  };
  /** When the copy is gone; what is not promised is fine. */
  'internal.placement.release-copy': {
    request: ReleaseImageCopyRequest;
    reply: Readonly<Record<string, never>>;
  };
  /** Answers how many of them were not promised. */
  'internal.placement.restore': {
    request: RestoreAllocationsRequest;
    reply: { restored: number };
  };
}

export type { RequestName } from '@lariat/bus';

/** Which DTO class a request's body is checked against. */
export const REQUEST_DTOS = {
  'node.list': ListNodesRequest,
  'node.get': NodeReference,
  'node.cordon': NodeReference,
  'node.uncordon': NodeReference,
  'node.drain': DrainNodeRequest,
  'node.remove': RemoveNodeRequest,
  'node.update': UpdateNodeRequest,
  'node.restart-target': RestartTargetRequest,
  'disk.list': ListDisksRequest,
  'disk.add': AddDiskRequest,
  'disk.remove': RemoveDiskRequest,
  'disk.update': UpdateDiskRequest,
  'volume.create': CreateVolumeRequest,
  'volume.get': VolumeReference,
  'volume.list': ListVolumesRequest,
  'volume.delete': DeleteVolumeRequest,
  'volume.update': UpdateVolumeRequest,
  'volume.expand': ExpandVolumeRequest,
  'volume.attach': AttachVolumeRequest,
  'volume.detach': ChangeVolumeRequest,
  'snapshot.create': CreateSnapshotRequest,
  'snapshot.create-group': CreateSnapshotGroupRequest,
  'snapshot.get': SnapshotReference,
  'snapshot.list': ListSnapshotsRequest,
  'snapshot.delete': SnapshotRequest,
  'snapshot.revert': SnapshotRequest,
  'snapshot.verify': VerifySnapshotRequest,
  'replica.list': VolumeReference,
  'replica.remove': ReplicaRequest,
  'replica.rebuild': RebuildRequest,
  'replica.move': MoveReplicaRequest,
  'rebuild.update': UpdateRebuildRequest,
  'replica.checksum': ReplicaChecksumRequest,
  'image.list': ListImagesRequest,
  'image.get': ImageReference,
  'image.create': CreateImageRequest,
  'image.verify': VerifyImageRequest,
  'image.delete': DeleteImageRequest,
  'orphan.list': ListOrphansRequest,
  'orphan.delete': DeleteOrphanRequest,
  'operation.get': OperationReference,
  'operation.cancel': OperationReference,
  'operation.list': ListOperationsRequest,
  'operation.wait': WaitOperationRequest,
  'audit.list': ListAuditRequest,
  'dead-letter.list': ListDeadLettersRequest,
  'cluster.recover': RecoverRequest,
  'internal.node.register': NodeRegistration,
  'internal.node.claim-store': ClaimStoreRequest,
  'internal.node.open-commands': OpenCommandsRequest,
  'internal.event.open-consumer': OpenEventConsumerRequest,
  'internal.volume.report-engine': EngineReportRequest,
  'internal.volume.record': VolumeRecordRequest,
  'internal.volume.set-content': SetContentRequest,
  'internal.volume.change': ChangeVolumeRecordRequest,
  'internal.volume.scale': ScaleVolumeRequest,
  'internal.volume.users-of-image': ImageUsersRequest,
  'internal.volume.lend-snapshot': LendSnapshotRequest,
  'internal.image.record': ImageRecordRequest,
  'internal.image.ensure-copies': EnsureImageCopiesRequest,
  'internal.image.recover': RecoverImagesRequest,
  'internal.image.idle-copies': IdleImageCopiesRequest,
  'internal.image.evict-copies': EvictImageCopiesRequest,
  'internal.image.leave-disk': LeaveDiskRequest,
  'internal.image.forget-node': ForgetNodeRequest,
  'internal.placement.reserve': ReserveRequest,
  'internal.placement.grow': ReserveGrowthRequest,
  'internal.placement.release': ReleaseRequest,
  'internal.placement.promise-copy': PromiseImageCopyRequest,
  'internal.placement.release-copy': ReleaseImageCopyRequest,
  'internal.placement.restore': RestoreAllocationsRequest,
} as const satisfies { readonly [Name in RequestName]: DtoClass<RequestMap[Name]['request']> };
