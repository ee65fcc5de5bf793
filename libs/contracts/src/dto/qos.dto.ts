import 'reflect-metadata';
import { IsOptional } from 'class-validator';
import { IsRateLimit } from './fields.js';

/** `qos` of a request: what is left out stays as it is, null takes the limit away. */
export class VolumeQosRequest {
  @IsOptional()
  @IsRateLimit('qos.rwIops')
  rwIops?: number | null;

  @IsOptional()
  @IsRateLimit('qos.rwMbps')
  rwMbps?: number | null;

  @IsOptional()
  @IsRateLimit('qos.readMbps')
  readMbps?: number | null;

  @IsOptional()
  @IsRateLimit('qos.writeMbps')
  writeMbps?: number | null;
}
