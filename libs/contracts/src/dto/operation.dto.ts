import { IsInt, IsOptional, Max, Min } from 'class-validator';
import { IsReference } from './fields.js';

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

export class ListOperationsRequest {
  /** Only those that work on this volume (its id). */
  @IsOptional()
  @IsReference('volume')
  volume?: string;
}
