import { IsOptional } from 'class-validator';
import { IsFlag, IsReference } from './fields.js';
import { ListRequest } from './list.dto.js';
import { MutatingRequest } from './volume.dto.js';

export class ListOrphansRequest extends ListRequest {
  @IsOptional()
  @IsReference('node')
  node?: string;
}

export class DeleteOrphanRequest extends MutatingRequest {
  @IsReference('orphan')
  orphan!: string;

  @IsFlag()
  dryRun?: boolean;
}
