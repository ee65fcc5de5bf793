import { type SnapshotView, hasCode } from '@lariat/contracts';
import { lariatNameOf, partsOfSnapshotId, snapshotIdOf } from '../domain/csi-name.js';
import { pageOf } from '../domain/page.js';
import { Refusal, requireText } from '../domain/refusal.js';
import { snapshotAnswer } from '../domain/volume-answer.js';
import type { CallScope, ControllerCalls, HandlersOf } from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';
import { requireVolume } from './find-volume.js';

export function snapshotCalls(
  cluster: ClusterPort,
): HandlersOf<
  Pick<ControllerCalls, 'CreateSnapshot' | 'DeleteSnapshot' | 'ListSnapshots' | 'GetSnapshot'>
> {
  const byId = async (id: string, scope: CallScope): Promise<SnapshotView | undefined> => {
    const parts = partsOfSnapshotId(id);
    if (parts === undefined) return undefined;
    try {
      const snapshot = await cluster.request('snapshot.get', parts, scope);
      return snapshot.user ? snapshot : undefined;
    } catch (error) {
      if (hasCode(error, 'VOLUME_NOT_FOUND', 'SNAPSHOT_NOT_FOUND')) return undefined;
      throw error;
    }
  };

  const all = async (scope: CallScope): Promise<readonly SnapshotView[]> => {
    const { snapshots } = await cluster.request('snapshot.list', {}, scope);
    return snapshots.filter(({ user }) => user);
  };

  const filtered = async (
    { snapshotId, sourceVolumeId }: ControllerCalls['ListSnapshots']['request'],
    scope: CallScope,
  ): Promise<readonly SnapshotView[]> => {
    if (snapshotId !== '') {
      const found = await byId(snapshotId, scope);
      const isOf = sourceVolumeId === '' || found?.volume === sourceVolumeId;
      return found === undefined || !isOf ? [] : [found];
    }
    const snapshots = await all(scope);
    return sourceVolumeId === ''
      ? snapshots
      : snapshots.filter(({ volume }) => volume === sourceVolumeId);
  };

  return {
    CreateSnapshot: async ({ sourceVolumeId, name, parameters }, scope) => {
      const snapshot = lariatNameOf(requireText(name, 'name'));
      requireText(sourceVolumeId, 'source_volume_id');
      assertNoParameters(parameters);
      const { id: volume } = await requireVolume(cluster, sourceVolumeId, scope);
      // Names of snapshots are Lariat's by volume, and the interface's over all of them.
      const there = (await all(scope)).filter((one) => one.name === snapshot);
      const same = there.find((one) => one.volume === volume);
      if (same !== undefined) return { snapshot: snapshotAnswer(same) };
      const [other] = there;
      if (other !== undefined) {
        throw new Refusal(
          'ALREADY_EXISTS',
          `Snapshot '${name}' is one of volume ${other.volume}, not of ${volume}.`,
        );
      }
      const made = await cluster
        .request('snapshot.create', { volume, snapshot }, scope)
        .catch((error: unknown) => {
          // Another call took it meanwhile.
          if (!hasCode(error, 'SNAPSHOT_NAME_TAKEN')) throw error;
          return cluster.request('snapshot.get', { volume, snapshot }, scope);
        });
      return { snapshot: snapshotAnswer(made) };
    },

    DeleteSnapshot: async ({ snapshotId }, scope) => {
      const parts = partsOfSnapshotId(requireText(snapshotId, 'snapshot_id'));
      if (parts === undefined) return {};
      try {
        await cluster.request('snapshot.delete', parts, scope);
      } catch (error) {
        if (!hasCode(error, 'VOLUME_NOT_FOUND', 'SNAPSHOT_NOT_FOUND')) throw error;
      }
      return {};
    },

    ListSnapshots: async (request, scope) => {
      const idOf = ({ volume, id }: SnapshotView): string => snapshotIdOf(volume, id);
      const { entries, nextToken } = pageOf(await filtered(request, scope), idOf, request);
      return { entries: entries.map((one) => ({ snapshot: snapshotAnswer(one) })), nextToken };
    },

    GetSnapshot: async ({ snapshotId }, scope) => {
      const found = await byId(requireText(snapshotId, 'snapshot_id'), scope);
      if (found === undefined)
        throw new Refusal('NOT_FOUND', `There is no snapshot '${snapshotId}'.`);
      return { snapshot: snapshotAnswer(found) };
    },
  };
}

export function assertNoParameters(parameters: Readonly<Record<string, string>>): void {
  const unknown = Object.keys(parameters).find((key) => !key.startsWith('csi.storage.k8s.io/'));
  if (unknown === undefined) return;
  throw new Refusal('INVALID_ARGUMENT', `There is no parameter '${unknown}' of a snapshot.`);
}
