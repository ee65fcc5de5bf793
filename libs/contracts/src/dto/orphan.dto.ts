import { IsBoolean, IsOptional } from 'class-validator';
import { IsReference } from './fields.js';
import { MutatingRequest } from './volume.dto.js';

export class ListOrphansRequest {
  @IsOptional()
  @IsReference('node')
  node?: string;
}

export class DeleteOrphanRequest extends MutatingRequest {
  @IsReference('orphan')
  orphan!: string;

  @IsOptional()
  @IsBoolean({ message: 'dryRun must be true or false.' })
  dryRun?: boolean;
}
