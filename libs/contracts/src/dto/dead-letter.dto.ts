import { IsInt, IsOptional, Max, Min } from 'class-validator';

export class ListDeadLettersRequest {
  /** Of the newest ones, this many; default 100. */
  @IsOptional()
  @IsInt({ message: 'limit must be a whole number.' })
  @Min(1, { message: 'limit must be at least 1.' })
  @Max(500, { message: 'limit must be at most 500.' })
  limit?: number;
}
