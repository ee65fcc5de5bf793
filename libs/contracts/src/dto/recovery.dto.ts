import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  IsArray,
  IsBoolean,
  IsInt,
  IsOptional,
  IsString,
  Min,
  ValidateNested,
} from 'class-validator';
import { IsReference } from './fields.js';
import { MutatingRequest } from './volume.dto.js';

/** Puts back what the store has lost and the nodes still keep. */
export class RecoverRequest extends MutatingRequest {
  /** Says what would be done, and does nothing. */
  @IsOptional()
  @IsBoolean({ message: 'dryRun must be true or false.' })
  dryRun?: boolean;

  /** Volumes, by name or id, that are put back from what was found, though something newer may have been lost. */
  @IsOptional()
  @IsArray({ message: 'acceptDataLoss must be a list of volumes.' })
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

/** Promises the space that replicas have already, whether it fits or not. */
export class RestoreAllocationsRequest {
  @IsArray()
  @ArrayMaxSize(4096)
  @ValidateNested({ each: true })
  @Type(() => PromisedReplica)
  replicas!: PromisedReplica[];

  @IsBoolean()
  dryRun!: boolean;
}
