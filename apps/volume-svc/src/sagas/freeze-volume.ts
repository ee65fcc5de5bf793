import { type ReplicaRecord, type VolumeRecord, lariatError } from '@lariat/contracts';
import { type StepContext, cleanUp, whileNodesLive } from '@lariat/saga';
import { inSyncOf } from '../domain/replica-changes.js';
import type { SagaDeps } from './saga-deps.js';

type Context = Pick<
  StepContext<unknown, unknown>,
  'command' | 'client' | 'log' | 'operation' | 'attempt'
>;

/** Writers see a stall of at most this; the target opens the gate by itself after it. */
const GATE_TIMEOUT_MS = 5_000;
const UNDER_GATE_TIMEOUT_MS = 4_000;

/**
 * Freezes all legs as `snapshot`, at the same point between two writes: behind the engine's gate when the volume is
 * attached. If the gate opened early the snapshots may differ; the next attempt drops them and takes them again. The
 * caller's operation holds the volume.
 */
export async function freezeVolume(
  deps: Pick<SagaDeps, 'volumes'>,
  context: Context,
  record: VolumeRecord,
  snapshot: string,
): Promise<void> {
  if (context.attempt > 1) await dropEarlier(context, record, snapshot);
  if (record.attachment === null) {
    await freezeAll(context, record, snapshot);
    return;
  }
  const { node, epoch } = record.attachment;
  const gate = { volume: record.id, epoch, gate: `${context.operation}.${context.attempt}` };
  // No look at the node before each of these, as elsewhere: writers wait for them.
  const command = { ...gate, timeoutMs: GATE_TIMEOUT_MS };
  const closing = context.command(node, 'engine.close-gate', command, { key: record.id });
  await whileNodesLive(context, [node], closing);
  let failure: unknown;
  try {
    // Read behind the gate: a leg that was lost meanwhile is out of the set.
    await freezeAll(context, await deps.volumes.find(record.id), snapshot);
  } catch (error) {
    failure = error;
  }
  const opening = context.command(node, 'engine.open-gate', gate, { key: record.id });
  const { held } = await whileNodesLive(context, [node], opening);
  if (failure !== undefined) throw failure;
  if (!held) {
    throw lariatError(
      'GATE_EXPIRED',
      'The engine let writes through before all replicas were frozen.',
      { volume: record.id, node },
    );
  }
}

async function freezeAll(context: Context, record: VolumeRecord, snapshot: string): Promise<void> {
  const inSync = inSyncOf(record);
  await Promise.all(
    record.replicas
      .filter(({ id }) => inSync.includes(id))
      .map(({ id, node }) => {
        const input = { replica: id, volume: record.id, snapshot };
        const options = { key: id, timeoutMs: UNDER_GATE_TIMEOUT_MS };
        const creating = context.command(node, 'snapshot.create', input, options);
        return whileNodesLive(context, [node], creating);
      }),
  );
}

/**
 * An earlier run may have frozen some of them at another point. What is to be frozen again must have deleted that: a node
 * that was taken for gone meanwhile, and is back, would show the earlier point as if it were the new one.
 */
async function dropEarlier(
  context: Context,
  record: VolumeRecord,
  snapshot: string,
): Promise<void> {
  const inSync = inSyncOf(record);
  const options = { timeoutMs: UNDER_GATE_TIMEOUT_MS };
  const isIn = ({ id }: ReplicaRecord): boolean => inSync.includes(id);
  const others = record.replicas.filter((replica) => !isIn(replica));
  await Promise.all([
    dropFrozen(context, { ...record, replicas: others }, snapshot),
    ...record.replicas.filter(isIn).map(({ id, node }) => {
      const input = { replica: id, volume: record.id, snapshot };
      const deleting = context.command(node, 'snapshot.delete', input, {
        ...options,
        key: `again-${id}`,
      });
      return whileNodesLive(context, [node], deleting);
    }),
  ]);
}

/** Takes back what was frozen, wherever it was. */
export async function dropFrozen(
  context: Context,
  record: VolumeRecord,
  snapshot: string,
): Promise<void> {
  await Promise.all(
    record.replicas.map(async ({ id, node }) => {
      const input = { replica: id, volume: record.id, snapshot };
      await cleanUp(context, node, 'snapshot.delete', input, `drop-${id}`);
    }),
  );
}
