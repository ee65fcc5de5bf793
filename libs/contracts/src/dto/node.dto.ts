import {
  ArrayMaxSize,
  IsArray,
  IsBoolean,
  IsOptional,
  IsString,
  Length,
  Matches,
} from 'class-validator';
import { IsReference, IsVolumeSize } from './fields.js';
import { MutatingRequest } from './volume.dto.js';

export class ListNodesRequest {}

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
  @IsArray({ message: 'tags must be a list.' })
  @ArrayMaxSize(32, { message: 'at most 32 tags.' })
  @IsString({ each: true, message: 'each tag must be text.' })
  tags?: string[];

  /** What the disk holds may be lost. Without it a disk with content is refused: DISK_FOREIGN_CONTENT names it. */
  @IsOptional()
  @IsBoolean({ message: 'erase must be true or false.' })
  erase?: boolean;
}

export class RemoveDiskRequest extends MutatingRequest {
  @IsReference('node')
  node!: string;

  @IsReference('disk')
  disk!: string;

  @IsOptional()
  @IsBoolean({ message: 'dryRun must be true or false.' })
  dryRun?: boolean;
}

export class RemoveNodeRequest extends MutatingRequest {
  @IsReference('node')
  node!: string;
}
