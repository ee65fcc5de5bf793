import 'reflect-metadata';
import { IsOptional } from 'class-validator';
import type { AntiAffinity } from '../placement.js';
import { IsAntiAffinity, IsTags } from './fields.js';

/** `placement` of a request; what is left out is as in DEFAULT_PLACEMENT. */
export class PlacementPolicyRequest {
  @IsOptional()
  @IsAntiAffinity('placement.node')
  node?: AntiAffinity;

  @IsOptional()
  @IsAntiAffinity('placement.zone')
  zone?: AntiAffinity;

  @IsOptional()
  @IsAntiAffinity('placement.disk')
  disk?: AntiAffinity;

  @IsOptional()
  @IsTags('placement.nodeTags')
  nodeTags?: string[];

  @IsOptional()
  @IsTags('placement.diskTags')
  diskTags?: string[];
}
