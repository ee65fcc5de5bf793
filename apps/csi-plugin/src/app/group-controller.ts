import { type SnapshotView, hasCode } from '@lariat/contracts';
import { lariatNameOf, snapshotIdOf } from '../domain/csi-name.js';
import { Refusal, requireText } from '../domain/refusal.js';
import { snapshotAnswer } from '../domain/volume-answer.js';
import type {
  CallScope,
  CsiGroupSnapshot,
  GroupControllerCalls,
  HandlersOf,
} from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';
import { requireVolume } from './find-volume.js';
import { assertNoParameters } from './controller-snapshots.js';

/** Snapshots of several volumes at one point in time. A group is what its snapshots say; its id is on each of them. */
export function groupControllerCalls(cluster: ClusterPort): HandlersOf<GroupControllerCalls> {
  const grouped = async (scope: CallScope): Promise<readonly SnapshotView[]> => {
    const { snapshots } = await cluster.request('snapshot.list', {}, scope);
    return snapshots.filter(({ group }) => group !== undefined);
  };

  /** What is there under that name; undefined: nothing. */
  const named = async (
    name: string,
    volumes: readonly string[],
    scope: CallScope,
  ): Promise<CsiGroupSnapshot | undefined> => {
    const there = (await grouped(scope)).filter((snapshot) => snapshot.name === name);
    const id = there[0]?.group;
    if (id === undefined) return undefined;
    const members = there.filter(({ group }) => group === id);
    const isSame =
      members.length === volumes.length && members.every(({ volume }) => volumes.includes(volume));
    if (isSame && members.length === there.length) return answerOf(id, members);
    throw new Refusal(
      'ALREADY_EXISTS',
      `Group '${name}' is one of volumes ${there.map(({ volume }) => volume).join(', ')}, not of ${volumes.join(', ')}.`,
    );
  };

  /** Those that are left of the group; what is listed and is of none, or of another, is refused. */
  const membersOf = async (
    groupId: string,
    listed: readonly string[],
    scope: CallScope,
  ): Promise<readonly SnapshotView[]> => {
    requireText(groupId, 'group_snapshot_id');
    const { snapshots } = await cluster.request('snapshot.list', {}, scope);
    const stranger = snapshots.find(
      ({ id, volume, group }) => group !== groupId && listed.includes(snapshotIdOf(volume, id)),
    );
    if (stranger !== undefined) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        `Snapshot ${snapshotIdOf(stranger.volume, stranger.id)} is not one of group ${groupId}.`,
      );
    }
    const members = snapshots.filter(({ group }) => group === groupId);
    const missing = members.find(({ id, volume }) => !listed.includes(snapshotIdOf(volume, id)));
    if (listed.length > 0 && missing !== undefined) {
      throw new Refusal(
        'INVALID_ARGUMENT',
        `Snapshot ${snapshotIdOf(missing.volume, missing.id)} is one of group ${groupId} too: list all of them.`,
      );
    }
    return members;
  };

  return {
    GroupControllerGetCapabilities: () =>
      Promise.resolve({
        capabilities: [{ rpc: { type: 'CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT' } }],
      }),

    CreateVolumeGroupSnapshot: async ({ name, sourceVolumeIds, parameters }, scope) => {
      const snapshot = lariatNameOf(requireText(name, 'name'));
      if (sourceVolumeIds.length === 0)
        throw new Refusal('INVALID_ARGUMENT', 'source_volume_ids are missing: give at least one.');
      assertNoParameters(parameters);
      const ids = await Promise.all(
        sourceVolumeIds.map(async (one) => (await requireVolume(cluster, one, scope)).id),
      );
      const volumes = Array.from(new Set(ids));
      const there = await named(snapshot, volumes, scope);
      if (there !== undefined) return { groupSnapshot: there };
      try {
        const made = await cluster.request('snapshot.create-group', { volumes, snapshot }, scope);
        return { groupSnapshot: answerOf(made.id, made.snapshots) };
      } catch (error) {
        // Another call took it meanwhile.
        const found = hasCode(error, 'SNAPSHOT_NAME_TAKEN')
          ? await named(snapshot, volumes, scope)
          : undefined;
        if (found === undefined) throw error;
        return { groupSnapshot: found };
      }
    },

    DeleteVolumeGroupSnapshot: async ({ groupSnapshotId, snapshotIds }, scope) => {
      const members = await membersOf(groupSnapshotId, snapshotIds, scope);
      await Promise.all(
        members.map(async ({ volume, id }) => {
          try {
            await cluster.request('snapshot.delete', { volume, snapshot: id }, scope);
          } catch (error) {
            if (!hasCode(error, 'VOLUME_NOT_FOUND', 'SNAPSHOT_NOT_FOUND')) throw error;
          }
        }),
      );
      return {};
    },

    GetVolumeGroupSnapshot: async ({ groupSnapshotId, snapshotIds }, scope) => {
      const members = await membersOf(groupSnapshotId, snapshotIds, scope);
      if (members.length === 0)
        throw new Refusal('NOT_FOUND', `There is no group of snapshots '${groupSnapshotId}'.`);
      return { groupSnapshot: answerOf(groupSnapshotId, members) };
    },
  };
}

function answerOf(id: string, members: readonly SnapshotView[]): CsiGroupSnapshot {
  const snapshots = members.map(snapshotAnswer);
  const [first] = snapshots;
  if (first === undefined) throw new Refusal('INTERNAL', `Group '${id}' has no snapshots.`);
  return { groupSnapshotId: id, snapshots, creationTime: first.creationTime, readyToUse: true };
}
