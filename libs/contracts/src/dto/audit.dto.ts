import { IsIn, IsInt, IsOptional, IsString, Max, Min } from 'class-validator';

const RESULTS = ['ok', 'refused', 'failed', 'unanswered'] as const;

export class ListAuditRequest {
  @IsOptional()
  @IsString({ message: 'actor must be a text.' })
  actor?: string;

  /** e.g. `volume.delete` */
  @IsOptional()
  @IsString({ message: "request must be a text such as 'volume.delete'." })
  request?: string;

  /** Name or id of anything that the request named. */
  @IsOptional()
  @IsString({ message: 'thing must be a text.' })
  thing?: string;

  @IsOptional()
  @IsIn(RESULTS, { message: `result must be one of ${RESULTS.join(', ')}.` })
  result?: (typeof RESULTS)[number];

  /** Of the newest ones, this many; default 100. */
  @IsOptional()
  @IsInt({ message: 'limit must be a whole number.' })
  @Min(1, { message: 'limit must be at least 1.' })
  @Max(1000, { message: 'limit must be at most 1000.' })
  limit?: number;
}
