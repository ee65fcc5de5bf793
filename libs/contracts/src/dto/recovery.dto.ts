import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  IsArray,
  IsBoolean,
  IsInt,
  IsObject,
  IsOptional,
  IsString,
  Min,
  ValidateNested,
} from 'class-validator';
import type { ImageEvidence } from '../recovery.js';
import { IsFlag, IsReference } from './fields.js';
import { MutatingRequest } from './volume.dto.js';

/** Puts back what the store has lost and the nodes still keep. */
export class RecoverRequest extends MutatingRequest {
  /** Says what would be done, and does nothing. */
  @IsFlag()
  dryRun?: boolean;

  /** Volumes and images, by name or id, that are put back from what was found, though something newer may have been lost. */
  @IsOptional()
  @IsArray({ message: 'acceptDataLoss must be a list of volumes and images.' })
  @ArrayMaxSize(1000)
  @IsString({ each: true })
  acceptDataLoss?: string[];
}

export class PromisedReplica {
  @IsReference('volume')
  volume!: string;

  @IsReference('replica')
  replica!: string;

  @IsReference('node')
  node!: string;

  @IsReference('disk')
  disk!: string;

  @IsInt()
  @Min(0)
  sizeBytes!: number;
}

export class PromisedImageCopy {
  @IsReference('image')
  image!: string;

  @IsReference('node')
  node!: string;

  @IsReference('disk')
  disk!: string;

  @IsInt()
  @Min(0)
  sizeBytes!: number;
}

/** Promises the space that replicas and copies of images have already, whether it fits or not. */
export class RestoreAllocationsRequest {
  @IsArray()
  @ArrayMaxSize(4096)
  @ValidateNested({ each: true })
  @Type(() => PromisedReplica)
  replicas!: PromisedReplica[];

  /** Missing: none. */
  @IsOptional()
  @IsArray()
  @ArrayMaxSize(4096)
  @ValidateNested({ each: true })
  @Type(() => PromisedImageCopy)
  copies?: PromisedImageCopy[];

  @IsBoolean()
  dryRun!: boolean;
}

/** Puts back the records of images from what the nodes tell. */
export class RecoverImagesRequest {
  @IsArray()
  @ArrayMaxSize(4096)
  @IsObject({ each: true })
  images!: ImageEvidence[];

  /** Nodes that have told what they have. */
  @IsArray()
  @IsString({ each: true })
  answered!: string[];

  @IsBoolean()
  dryRun!: boolean;
}
