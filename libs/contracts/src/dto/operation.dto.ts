import { IsInt, IsOptional, Matches, Max, Min } from 'class-validator';
import { OperationState } from '../operation.js';
import { IsReference } from './fields.js';
import { IsOneOf, ListRequest } from './list.dto.js';

export class OperationReference {
  @IsReference('operation')
  operation!: string;
}

export class WaitOperationRequest extends OperationReference {
  @IsOptional()
  @IsInt({ message: 'timeoutMs must be a whole number of milliseconds.' })
  @Min(1, { message: 'timeoutMs must be at least 1.' })
  @Max(600_000, { message: 'timeoutMs must be at most 600000.' })
  timeoutMs?: number;
}

export class ListOperationsRequest extends ListRequest {
  /** Only those that work on this volume (its id). */
  @IsOptional()
  @IsReference('volume')
  volume?: string;

  @IsOneOf('state', Object.values(OperationState))
  state?: OperationState;

  /** e.g. `volume.create` */
  @IsOptional()
  @Matches(/^[a-z-]{1,32}\.[a-z-]{1,32}$/, { message: "kind must be like 'volume.create'." })
  kind?: string;
}
