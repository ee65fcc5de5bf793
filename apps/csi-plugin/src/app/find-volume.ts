import { type VolumeView, hasCode } from '@lariat/contracts';
import { isDnsLabel } from '@lariat/kernel';
import { Refusal, requireText } from '../domain/refusal.js';
import type { CallScope } from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';

/** By id or name; undefined when there is none, also for what can't be the id of one. */
export async function findVolume(
  cluster: ClusterPort,
  volume: string,
  scope: CallScope,
): Promise<VolumeView | undefined> {
  if (!isDnsLabel(volume)) return undefined;
  try {
    return await cluster.request('volume.get', { volume }, scope);
  } catch (error) {
    if (hasCode(error, 'VOLUME_NOT_FOUND')) return undefined;
    throw error;
  }
}

export async function requireVolume(
  cluster: ClusterPort,
  volume: string,
  scope: CallScope,
): Promise<VolumeView> {
  const found = await findVolume(cluster, requireText(volume, 'volume_id'), scope);
  if (found !== undefined) return found;
  throw new Refusal('NOT_FOUND', `There is no volume '${volume}'.`);
}
