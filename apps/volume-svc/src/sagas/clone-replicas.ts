import {
  type Placement,
  type ReplicaRecord,
  type SnapshotRecord,
  type VolumeRecord,
  hasCode,
  lariatError,
  nodeHostNqn,
  scratchNqn,
} from '@lariat/contracts';
import { deriveVolumeId } from '@lariat/kernel';
import {
  COMMAND_TIMEOUT_MS,
  attempt,
  cleanUp,
  commandWhileLive,
  followProgress,
  whileNodesLive,
  whileWanted,
} from '@lariat/saga';
import { pathTo } from '../domain/snapshot-path.js';
import type { CloneContext, CloneVolumeMemory } from './clone-volume.saga.js';
import type { SagaDeps } from './saga-deps.js';

const inSync = (record: VolumeRecord): readonly ReplicaRecord[] =>
  record.replicas.filter(({ mode }) => mode === 'RW');

/** Those that are left to the copy. */
export const unmade = ({ memory }: CloneContext): readonly Placement[] =>
  (memory.placements ?? []).filter(({ replica }) => memory.lvolUuids?.[replica] === undefined);

/** Clones on the disks where the source has a healthy replica; what has none is left to the copy. */
export async function cloneReplicas(
  deps: SagaDeps,
  context: CloneContext,
): Promise<Partial<CloneVolumeMemory>> {
  const { value: source } = await deps.volumes.findFresh(context.input.source.volume);
  const snapshot = snapshotOf(context);
  const made = await Promise.all(
    (context.memory.placements ?? []).map(async ({ replica, node, disk }) => {
      const from = inSync(source).find((other) => other.disk === disk);
      if (from === undefined) return [];
      const input = {
        replica,
        volume: deriveVolumeId(context.operation),
        disk,
        sizeBytes: context.input.sizeBytes,
        source: { replica: from.id, snapshot: snapshot.id },
      };
      const outcome = await attempt(context, node, 'replica.clone', input, replica);
      if (outcome.ok) return [[replica, outcome.output.lvolUuid] as const];
      // The source's replica has gone since: what another one has is copied.
      if (hasCode(outcome.error, 'REPLICA_NOT_FOUND')) return [];
      throw outcome.error;
    }),
  );
  const lvolUuids = Object.fromEntries(made.flat());
  return { lvolUuids, shares: Object.keys(lvolUuids).length > 0 };
}

/** Full copies, one replica after the other: each reads all of the source. */
export async function copyReplicas(
  deps: SagaDeps,
  context: CloneContext,
): Promise<Partial<CloneVolumeMemory>> {
  const lvolUuids: Record<string, string> = { ...context.memory.lvolUuids };
  let { image = null } = context.memory;
  for (const placement of unmade(context)) {
    const { value: source } = await deps.volumes.findFresh(context.input.source.volume);
    try {
      lvolUuids[placement.replica] = await copyReplica(context, source, placement, image);
    } catch (error) {
      if (image === null || !hasCode(error, ...CANT_STAND)) throw error;
      // Once for all: a later run must not throw away what it finds copied without.
      image = null;
      await context.checkpoint({ image });
      lvolUuids[placement.replica] = await copyReplica(context, source, placement, image);
    }
    await context.checkpoint({ lvolUuids });
  }
  return { lvolUuids };
}

/** The source was copied whole itself, or the image's copy was given up since: all is copied then. */
const CANT_STAND = ['IMAGE_NOT_BENEATH', 'IMAGE_COPY_NOT_FOUND', 'IMAGE_COPY_NOT_SEALED'] as const;

async function copyReplica(
  context: CloneContext,
  source: VolumeRecord,
  { replica, node, disk }: Placement,
  image: string | null,
): Promise<string> {
  const volume = deriveVolumeId(context.operation);
  const snapshot = snapshotOf(context);
  const from = inSync(source).toSorted((a, b) => rank(a, node) - rank(b, node))[0];
  if (from === undefined) {
    throw lariatError('VOLUME_FAULTED', `Volume '${source.name}' has no healthy replica to copy.`, {
      volume: source.id,
    });
  }
  const key = image === null ? replica : `${replica}/${image}`;
  const quick = { key, timeoutMs: 3 * COMMAND_TIMEOUT_MS };
  const target = { replica, volume };
  const scratch = await commandWhileLive(
    context,
    node,
    'rebuild.create-scratch',
    {
      ...target,
      disk,
      sizeBytes: snapshot.sizeBytes,
      parent: null,
      image,
      hostNqn: nodeHostNqn(from.node),
    },
    quick,
  );
  const onSource = { replica: from.id, volume: source.id };
  const stopReporting = followProgress(context, ({ done, total, unit }) =>
    context.progress(done, total, unit),
  );
  try {
    // One on top of the other into the same scratch: what a younger one has hides what an older one had.
    for (const { id, parent } of pathTo(source.snapshots, snapshot.id)) {
      const copy = context.command(
        from.node,
        'rebuild.copy-snapshot',
        { ...onSource, snapshot: id, parent, image: parent === null ? image : null, scratch },
        { key: `${key}/${id}` },
      );
      // Between two disks of one node there is no path to cut: the target would write on to a scratch that is to go.
      const wanted = from.node === node ? copy : whileWanted(context, copy);
      await whileNodesLive(context, [from.node, node], wanted);
    }
  } finally {
    stopReporting();
    const detach = { ...onSource, scratchNqn: scratchNqn(replica) };
    await cleanUp(context, from.node, 'rebuild.detach-scratch', detach, key);
  }
  const adopt = { ...target, sizeBytes: context.input.sizeBytes };
  const adopted = await commandWhileLive(context, node, 'replica.adopt-scratch', adopt, quick);
  return adopted.lvolUuid;
}

/** On the node itself nothing goes over the network. */
const rank = (replica: ReplicaRecord, node: string): number => (replica.node === node ? 0 : 1);

function snapshotOf({ memory }: CloneContext): SnapshotRecord {
  if (memory.snapshot !== undefined) return memory.snapshot;
  throw lariatError('RECORD_CORRUPT', 'The journal of this clone has no snapshot.');
}
