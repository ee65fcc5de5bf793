import { type VolumeRecord, lariatError } from '@lariat/contracts';
import type { RebuildDeps } from './rebuild-memory.js';

/** The record as it is stored now, not as it was heard of last. */
export async function findVolume(
  { volumes }: Pick<RebuildDeps, 'volumes'>,
  volume: string,
): Promise<VolumeRecord> {
  const record = await volumes.fresh(volume);
  if (record !== undefined) return record;
  throw lariatError('VOLUME_NOT_FOUND', `Volume ${volume} is gone.`, { volume });
}
