import {
  IsInt,
  IsOptional,
  IsString,
  Length,
  Matches,
  Max,
  Min,
  ValidateIf,
} from 'class-validator';
import { IsFlag, IsReference, IsTags, IsVolumeSize } from './fields.js';
import { NodeState } from '../node-states.js';
import { IsOneOf, ListRequest } from './list.dto.js';
import { MutatingRequest } from './volume.dto.js';

export class ListNodesRequest extends ListRequest {
  @IsOneOf('state', Object.values(NodeState))
  state?: NodeState;
}

export class NodeReference {
  @IsReference('node')
  node!: string;
}

export class ListDisksRequest {
  @IsOptional()
  @IsReference('node')
  node?: string;
}

export class AddDiskRequest extends MutatingRequest {
  @IsReference('node')
  node!: string;

  @IsString({ message: 'path must be text.' })
  @Length(1, 4096, { message: 'path must have 1 to 4096 characters.' })
  @Matches(/^\/[^\0]*$/, {
    message: 'path must be absolute: a block device, or a file that is or will be the disk.',
  })
  path!: string;

  @IsOptional()
  @IsReference('name')
  name?: string;

  /** Needed when `path` does not exist yet: a sparse file of this size is made. */
  @IsOptional()
  @IsVolumeSize()
  sizeBytes?: number;

  @IsOptional()
  @IsTags('tags')
  tags?: string[];

  /** What the disk holds may be lost. Without it a disk with content is refused: DISK_FOREIGN_CONTENT names it. */
  @IsFlag()
  erase?: boolean;
}

export class RemoveDiskRequest extends MutatingRequest {
  @IsReference('node')
  node!: string;

  @IsReference('disk')
  disk!: string;

  /** Moves the replicas and copies of images that it holds to other disks first. */
  @IsFlag()
  evacuate?: boolean;

  @IsFlag()
  dryRun?: boolean;
}

/** More would leave no room for rebuilds of what is degraded. */
const MOST_AT_ONCE = 8;

export class DrainNodeRequest extends MutatingRequest {
  @IsReference('node')
  node!: string;

  /** Volumes whose replicas are moved side by side; default 1. */
  @IsOptional()
  @IsInt({ message: 'atOnce must be a whole number.' })
  @Min(1, { message: 'atOnce must be at least 1.' })
  @Max(MOST_AT_ONCE, { message: `atOnce must be at most ${MOST_AT_ONCE}.` })
  atOnce?: number;

  @IsFlag()
  dryRun?: boolean;
}

export class RemoveNodeRequest extends MutatingRequest {
  @IsReference('node')
  node!: string;

  /** The node may have the last healthy replica of volumes, or the last copy of images. */
  @IsFlag()
  acceptDataLoss?: boolean;

  @IsFlag()
  dryRun?: boolean;
}

export class RestartTargetRequest extends MutatingRequest {
  @IsReference('node')
  node!: string;

  /** Also when a volume that is attached elsewhere has no other leg, and may see errors if the restart takes long. */
  @IsFlag()
  force?: boolean;

  @IsFlag()
  dryRun?: boolean;
}

const isSet = (_request: object, value: unknown): boolean => value !== undefined && value !== null;

/** What is left out stays as it is. */
export class UpdateNodeRequest {
  @IsReference('node')
  node!: string;

  @IsOptional()
  @IsTags('tags')
  tags?: string[];

  /** Null: the zone that the agent was started with. */
  @ValidateIf(isSet)
  @IsReference('zone')
  zone?: string | null;

  @IsFlag()
  schedulable?: boolean;
}

const MAX_OVER_PROVISIONING_PERCENT = 10_000;

/** What is left out stays as it is. */
export class UpdateDiskRequest {
  @IsReference('node')
  node!: string;

  @IsReference('disk')
  disk!: string;

  /** Null: those that the disk was added with. */
  @ValidateIf(isSet)
  @IsTags('tags')
  tags?: string[] | null;

  @IsFlag()
  schedulable?: boolean;

  @IsOptional()
  @IsInt({ message: 'reservedBytes must be a whole number of bytes.' })
  @Min(0, { message: 'reservedBytes must not be negative.' })
  @Max(Number.MAX_SAFE_INTEGER, { message: 'reservedBytes must be below 2^53.' })
  reservedBytes?: number;

  @IsOptional()
  @IsInt({ message: 'overProvisioningPercent must be a whole number.' })
  @Min(1, { message: 'overProvisioningPercent must be at least 1; cordon the disk to place none.' })
  @Max(MAX_OVER_PROVISIONING_PERCENT, {
    message: `overProvisioningPercent must be at most ${MAX_OVER_PROVISIONING_PERCENT}.`,
  })
  overProvisioningPercent?: number;
}
