import { Type } from 'class-transformer';
import { IsInt, IsObject, IsOptional, Max, Min, ValidateIf, ValidateNested } from 'class-validator';
import { ContentEvent, type FormatType } from '../content.js';
import { type Frontend, Robustness, VolumeState } from '../volume.js';
import {
  AreHostNqns,
  AreVolumes,
  IsContentEvent,
  IsFormat,
  IsFileSystemUuid,
  IsFlag,
  IsFrontend,
  IsLabels,
  IsNewName,
  IsReference,
  IsReplicaCount,
  IsVolumeSize,
} from './fields.js';
import { IsOneOf, IsOrder, ListRequest } from './list.dto.js';
import { PlacementPolicyRequest } from './placement.dto.js';
import { VolumeQosRequest } from './qos.dto.js';

/** Part of every mutating request. */
export class MutatingRequest {
  /** False: answer at once with the operation. */
  @IsFlag()
  wait?: boolean;
}

/** What a new volume's content is taken from: a snapshot, or the volume as it is now. */
export class VolumeSourceRequest {
  @IsReference('source.volume')
  volume!: string;

  @IsOptional()
  @IsReference('source.snapshot')
  snapshot?: string;
}

export class CreateVolumeRequest extends MutatingRequest {
  @IsNewName('name')
  name!: string;

  /** May be left out with a source or an image: as large as that. */
  @ValidateIf(
    ({ source, image, sizeBytes }: CreateVolumeRequest) =>
      (source == null && image == null) || sizeBytes != null,
  )
  @IsVolumeSize()
  sizeBytes?: number;

  /** Its content is this image's, by name or id; not with a source. */
  @IsOptional()
  @IsReference('image')
  image?: string;

  @IsOptional()
  @IsObject({ message: 'source must be an object.' })
  @ValidateNested()
  @Type(() => VolumeSourceRequest)
  source?: VolumeSourceRequest;

  @IsOptional()
  @IsReplicaCount()
  replicas?: number;

  @IsOptional()
  @IsLabels()
  labels?: Record<string, string>;

  @IsOptional()
  @IsObject({ message: 'placement must be an object.' })
  @ValidateNested()
  @Type(() => PlacementPolicyRequest)
  placement?: PlacementPolicyRequest;

  @IsOptional()
  @IsObject({ message: 'qos must be an object.' })
  @ValidateNested()
  @Type(() => VolumeQosRequest)
  qos?: VolumeQosRequest;
}

export class VolumeReference {
  @IsReference('volume')
  volume!: string;
}

/** The first is the one that a list has when none is asked for. */
export const VOLUME_ORDERS = ['name', 'created', 'size'] as const;
export const SNAPSHOT_ORDERS = ['created', 'name'] as const;

/** Those that fit all that is given. */
export class ListVolumesRequest extends ListRequest {
  @IsOrder(VOLUME_ORDERS)
  sort?: (typeof VOLUME_ORDERS)[number];

  @IsOneOf('state', Object.values(VolumeState))
  state?: VolumeState;

  @IsOneOf('robustness', Object.values(Robustness))
  robustness?: Robustness;

  /** They have a replica there, or are attached there. */
  @IsOptional()
  @IsReference('node')
  node?: string;

  /** Id of the image that they stand on. */
  @IsOptional()
  @IsReference('image')
  image?: string;

  /** They have these among their labels. */
  @IsOptional()
  @IsLabels()
  labels?: Record<string, string>;
}

export class ChangeVolumeRequest extends MutatingRequest {
  @IsReference('volume')
  volume!: string;
}

export class DeleteVolumeRequest extends ChangeVolumeRequest {
  @IsFlag()
  dryRun?: boolean;
}

/** What it leaves out stays as it is. */
export class UpdateVolumeRequest extends ChangeVolumeRequest {
  @IsOptional()
  @IsObject({ message: 'qos must be an object.' })
  @ValidateNested()
  @Type(() => VolumeQosRequest)
  qos?: VolumeQosRequest;

  /** More are built from those that are there; of fewer the ones that are missed least go. */
  @IsOptional()
  @IsReplicaCount()
  replicas?: number;
}

export class ExpandVolumeRequest extends ChangeVolumeRequest {
  @IsVolumeSize()
  sizeBytes!: number;
}

export class AttachVolumeRequest extends ChangeVolumeRequest {
  @IsReference('node')
  node!: string;

  @IsOptional()
  @IsFrontend()
  frontend?: Frontend;

  /** With frontend `nvmf`: the hosts that may connect. Missing: one whose NQN is made for this attachment, and told in the answer. */
  @IsOptional()
  @AreHostNqns()
  hostNqns?: string[];

  /** Takes the volume from the node that holds it, if need be without that node's help. */
  @IsFlag()
  force?: boolean;

  /**
   * Who attaches it tells with `internal.volume.set-content` what becomes of its content before writing any. Without it a blank
   * volume counts as foreign from now on, and is never formatted.
   */
  @IsFlag()
  keepsContent?: boolean;
}

/** From the node that has the volume attached, under the epoch of that attachment. */
export class SetContentRequest extends VolumeReference {
  @IsInt({ message: 'epoch must be the whole number that the attachment has.' })
  @Min(1, { message: 'epoch must be the whole number that the attachment has.' })
  epoch!: number;

  @IsContentEvent()
  event!: ContentEvent;

  /** With intend-format and formatted. */
  @ValidateIf(({ event }: SetContentRequest) => event !== ContentEvent.disown)
  @IsFormat()
  fsType?: FormatType;

  /** As fsType. Of an intent that is on record the first uuid stands: the answer has it. */
  @ValidateIf(({ event }: SetContentRequest) => event !== ContentEvent.disown)
  @IsFileSystemUuid()
  uuid?: string;

  /** It is told of what lies under the header of an encrypted volume; disown is told of both. */
  @IsFlag()
  inside?: boolean;
}

export class SnapshotRequest extends ChangeVolumeRequest {
  @IsReference('snapshot')
  snapshot!: string;
}

export class CreateSnapshotRequest extends ChangeVolumeRequest {
  @IsNewName('snapshot')
  snapshot!: string;
}

/** One snapshot of each volume, all taken at one point in time. */
export class CreateSnapshotGroupRequest extends MutatingRequest {
  @AreVolumes()
  volumes!: string[];

  @IsNewName('snapshot')
  snapshot!: string;
}

export class SnapshotReference extends VolumeReference {
  @IsReference('snapshot')
  snapshot!: string;
}

export class ListSnapshotsRequest extends ListRequest {
  @IsOrder(SNAPSHOT_ORDERS)
  sort?: (typeof SNAPSHOT_ORDERS)[number];

  /** Without it those of all volumes. */
  @IsOptional()
  @IsReference('volume')
  volume?: string;
}

export class VerifySnapshotRequest extends SnapshotRequest {
  /** False: what differs is told, and nothing is done about it. */
  @IsFlag()
  repair?: boolean;
}

export class ReplicaRequest extends ChangeVolumeRequest {
  @IsReference('replica')
  replica!: string;

  @IsFlag()
  acceptDataLoss?: boolean;

  @IsFlag()
  dryRun?: boolean;
}

export class RebuildRequest extends ChangeVolumeRequest {
  /** The faulted replica to replace; without it, one that is faulted or missing is chosen. */
  @IsOptional()
  @IsReference('replica')
  replica?: string;

  /** False: a new replica is made, also where the lost one is back and could be brought up to date. */
  @IsFlag()
  reuse?: boolean;

  /** True: a pause of the volume's rebuilds holds for this one too, instead of being ended by it. */
  @IsFlag()
  keepPause?: boolean;
}

/** Without a node and a disk the best other place is chosen. */
export class MoveReplicaRequest extends ChangeVolumeRequest {
  @IsReference('replica')
  replica!: string;

  @IsOptional()
  @IsReference('toNode')
  toNode?: string;

  /** Name or id. */
  @IsOptional()
  @IsReference('toDisk')
  toDisk?: string;

  @IsFlag()
  dryRun?: boolean;
}

export class UpdateRebuildRequest extends VolumeReference {
  /** True: no rebuild begins by itself, and one that runs waits before its next piece; false: it goes on. */
  @IsFlag()
  paused?: boolean;

  /** True: the rebuild that runs ends and is undone, and none begins by itself until paused is false. */
  @IsFlag()
  cancel?: boolean;

  /** The most that a rebuild writes to the new replica; 0: no limit; null: as the service is set. */
  @IsOptional()
  @IsInt({ message: 'mibPerSecond must be a whole number of MiB.' })
  @Min(0, { message: 'mibPerSecond must not be negative.' })
  @Max(1_048_576, { message: 'mibPerSecond must be at most 1048576.' })
  mibPerSecond?: number | null;
}

export class ReplicaChecksumRequest extends VolumeReference {
  /** Without it the heads are compared: the volume must be detached. */
  @IsOptional()
  @IsReference('snapshot')
  snapshot?: string;
}
