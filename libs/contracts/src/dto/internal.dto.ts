import 'reflect-metadata';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsObject,
  IsOptional,
  IsString,
  Matches,
  Min,
  ValidateBy,
  ValidateIf,
  ValidateNested,
} from 'class-validator';
import { type FrontendOffer, type KeptNode, WRITE_GATES, type WriteGate } from '../node.js';
import type { Frontend } from '../volume.js';
import type { VolumeChange, VolumeChangeType } from '../volume-change.js';
import { IsFrontend, IsLabels, IsReference, IsReplicaCount, IsVolumeSize } from './fields.js';
import { PlacementPolicyRequest } from './placement.dto.js';
import { MutatingRequest } from './volume.dto.js';

/** Requests between Lariat's own parts, below `lariat.v1.internal.`; not part of the API. */

export class DiskLoss {
  @IsString()
  reason!: string;

  @IsString()
  since!: string;
}

export class DiskRegistration {
  @IsReference('id')
  id!: string;

  @IsReference('name')
  name!: string;

  @IsString()
  path!: string;

  @IsArray()
  @IsString({ each: true })
  tags!: string[];

  @IsString()
  lvsUuid!: string;

  @IsInt()
  @Min(0)
  capacityBytes!: number;

  @IsInt()
  @Min(1)
  clusterSizeBytes!: number;

  @IsOptional()
  @ValidateNested()
  @Type(() => DiskLoss)
  lost?: DiskLoss;
}

export class FrontendOfferDto implements FrontendOffer {
  @IsFrontend()
  frontend!: Frontend;

  @IsBoolean()
  available!: boolean;

  @ValidateIf((offer: FrontendOfferDto) => offer.reason !== null)
  @IsString()
  reason!: string | null;
}

export class NodeRegistration {
  @IsReference('name')
  name!: string;

  @IsString()
  zone!: string;

  @IsLabels()
  labels!: Record<string, string>;

  @IsString()
  traddr!: string;

  @IsString()
  trsvcid!: string;

  @IsArray()
  @ArrayMaxSize(16)
  @ValidateNested({ each: true })
  @Type(() => FrontendOfferDto)
  frontends!: FrontendOfferDto[];

  @IsString()
  target!: string;

  @IsOptional()
  @IsIn(WRITE_GATES)
  writeGate?: WriteGate;

  @IsString()
  agentVersion!: string;

  @IsString()
  agentInstance!: string;

  @IsArray()
  @ArrayMaxSize(256)
  @ValidateNested({ each: true })
  @Type(() => DiskRegistration)
  disks!: DiskRegistration[];

  /** What was on record of the node when the agent last heard; counts for a node that is not on record. */
  @IsOptional()
  @IsObject()
  kept?: KeptNode;
}

/** A node has found the store on a disk that it does not know. */
export class ClaimStoreRequest {
  @IsReference('node')
  node!: string;

  @IsReference('disk')
  disk!: string;

  @IsString()
  lvsUuid!: string;
}

export class OpenCommandsRequest {
  @IsReference('node')
  node!: string;
}

export class OpenEventConsumerRequest {
  /** The plugin's name, and what it calls this consumer. */
  @Matches(/^[A-Za-z0-9_-]{1,128}$/, {
    message: "consumer must be 1 to 128 of A-Z, a-z, 0-9, '-' and '_'.",
  })
  consumer!: string;

  /** What follows `lariat.v1.event.`. */
  @Matches(/^([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.>)?$|^>$/, {
    message: "filter must be tokens with dots between them; '*' stands for one, '>' for the rest.",
  })
  filter!: string;
}

/** A node that is removed: its copies of images are on record no more, but for the last ones. */
export class ForgetNodeRequest {
  @IsReference('node')
  node!: string;
}

export class LostLeg {
  @IsReference('replica')
  replica!: string;

  @IsString()
  reason!: string;
}

export class EngineReportRequest {
  @IsReference('node')
  node!: string;

  @IsReference('volume')
  volume!: string;

  @IsInt()
  @Min(1)
  epoch!: number;

  @IsArray()
  @IsString({ each: true })
  operational!: string[];

  @IsArray()
  @ValidateNested({ each: true })
  @Type(() => LostLeg)
  lost!: LostLeg[];
}

const CHANGE_TYPES: readonly VolumeChangeType[] = [
  'claim',
  'release',
  'transition',
  'resize',
  'put-replica',
  'drop-replica',
  'retire-replica',
  'fault-replica',
  'sync-replica',
  'drop-clone',
  'add-snapshot',
  'drop-snapshot',
  'revert',
  'control-rebuild',
  'raise-epoch',
  'set-attachment',
  'set-clean',
  'set-replica-count',
  'set-checksum',
];

const isVolumeChange = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  CHANGE_TYPES.some((type) => (value as { type?: unknown }).type === type);

export class ChangeVolumeRecordRequest {
  @IsReference('volume')
  volume!: string;

  /** The operation that holds the volume; a change by another is refused. */
  @IsReference('operation')
  operation!: string;

  /** Applied together, in order, or not at all. */
  @IsArray()
  @ArrayMaxSize(64)
  @ValidateBy(
    {
      name: 'isVolumeChange',
      validator: {
        validate: isVolumeChange,
        defaultMessage: () => 'changes must be of known types.',
      },
    },
    { each: true },
  )
  changes!: VolumeChange[];
}

export class ScaleVolumeRequest {
  @IsReference('volume')
  volume!: string;

  @IsReplicaCount()
  replicas!: number;

  @IsOptional()
  @IsBoolean()
  wait?: boolean;
}

/** What placement needs to know of the image that a volume's replicas are to stand on. */
export class PlacedImage {
  /** Disks that have a copy of it, or are getting one. */
  @IsArray()
  @ArrayMaxSize(4096)
  @IsString({ each: true })
  disks!: string[];

  /** What a copy takes where there is none; 0: a replica can do without. */
  @IsInt()
  @Min(0)
  copyBytes!: number;

  /** Its id: no copy of it is evicted to make room for what is to stand on it. */
  @IsOptional()
  @IsReference('image')
  id?: string;
}

export class ReserveRequest {
  @IsReference('volume')
  volume!: string;

  /** One id a replica; placing the same id again gives the same disk. */
  @IsArray()
  @ArrayMaxSize(16)
  @IsString({ each: true })
  replicas!: string[];

  @IsVolumeSize()
  sizeBytes!: number;

  /** Nodes that may get none. */
  @IsArray()
  @IsString({ each: true })
  excludeNodes!: string[];

  @IsOptional()
  @ValidateNested()
  @Type(() => PlacementPolicyRequest)
  placement?: PlacementPolicyRequest;

  /** Taken before others that are as good: a clone costs nothing where its source is. */
  @IsOptional()
  @IsArray()
  @IsString({ each: true })
  preferDisks?: string[];

  /** The image that the replicas are to stand on. */
  @IsOptional()
  @ValidateNested()
  @Type(() => PlacedImage)
  image?: PlacedImage;
}

export class ReserveGrowthRequest {
  @IsArray()
  @IsString({ each: true })
  replicas!: string[];

  @IsVolumeSize()
  sizeBytes!: number;
}

export class ReleaseRequest {
  @IsArray()
  @IsString({ each: true })
  replicas!: string[];
}

export class VolumeRecordRequest {
  @IsReference('volume')
  volume!: string;

  /** True: read from JetStream, not from the cache. */
  @IsBoolean()
  fresh!: boolean;
}

export class ImageRecordRequest {
  /** Name or id. */
  @IsReference('image')
  image!: string;

  /** True: read from JetStream, not from the cache. */
  @IsOptional()
  @IsBoolean()
  fresh?: boolean;
}

/** A disk that is to have a copy of an image. */
export class ImageSite {
  @IsReference('node')
  node!: string;

  @IsReference('disk')
  disk!: string;
}

export class EnsureImageCopiesRequest {
  /** The id. */
  @IsReference('image')
  image!: string;

  @IsArray()
  @ArrayMaxSize(16)
  @ValidateNested({ each: true })
  @Type(() => ImageSite)
  disks!: ImageSite[];

  /** Whose replicas are to stand on the copies. */
  @IsReference('volume')
  volume!: string;
}

/** A copy of an image on a disk. */
export class ImageCopySite extends ImageSite {
  /** The id. */
  @IsReference('image')
  image!: string;
}

export class IdleImageCopiesRequest {}

export class EvictImageCopiesRequest {
  @IsArray()
  @ArrayMaxSize(4096)
  @ValidateNested({ each: true })
  @Type(() => ImageCopySite)
  copies!: ImageCopySite[];
}

export class LendSnapshotRequest extends MutatingRequest {
  /** The id. */
  @IsReference('volume')
  volume!: string;

  /** The id; left out: one is taken. */
  @IsOptional()
  @IsReference('snapshot')
  snapshot?: string;

  /** Id of the image that is made of it. */
  @IsReference('image')
  image!: string;

  @IsReference('name')
  name!: string;

  /** The import. */
  @IsReference('borrower')
  borrower!: string;
}

export class ImageUsersRequest {
  /** The id. */
  @IsReference('image')
  image!: string;
}

export class PromiseImageCopyRequest extends ImageCopySite {
  @IsVolumeSize()
  sizeBytes!: number;
}

export class ReleaseImageCopyRequest extends ImageCopySite {}

export class LeaveDiskRequest extends ImageCopySite {}
