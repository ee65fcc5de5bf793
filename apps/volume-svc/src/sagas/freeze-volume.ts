import {
  type CommandMap,
  type CommandName,
  type ReplicaRecord,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
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
  await freezeVolumes(deps, context, [{ record, snapshot }]);
}

/** A volume, and the id of the snapshot that is taken of it. */
export interface Freezing {
  readonly record: VolumeRecord;
  readonly snapshot: string;
}

/**
 * The same of several volumes: no replica of any is frozen before the gates of all are closed, and none is opened before the
 * last is frozen. So there is a moment at which nobody could write to any of them, and all snapshots are of that.
 */
export async function freezeVolumes(
  deps: Pick<SagaDeps, 'volumes'>,
  context: Context,
  freezing: readonly Freezing[],
): Promise<void> {
  if (context.attempt > 1)
    await Promise.all(freezing.map((one) => dropEarlier(context, one.record, one.snapshot)));
  const gates = freezing.flatMap(({ record }) => gateOf(context, record));
  const closing = await Promise.allSettled(gates.map((gate) => close(context, gate)));
  let failure = closing.find((one) => one.status === 'rejected')?.reason as unknown;
  if (failure === undefined) {
    const frozen = await Promise.allSettled(
      // Read behind the gate: a leg that was lost meanwhile is out of the set.
      freezing.map(async ({ record, snapshot }) =>
        freezeAll(
          context,
          record.attachment === null ? record : await deps.volumes.find(record.id),
          snapshot,
        ),
      ),
    );
    failure = frozen.find((one) => one.status === 'rejected')?.reason as unknown;
  }
  // One that is not known to be closed opens by itself.
  const closed = gates.filter((_gate, index) => closing[index]?.status === 'fulfilled');
  const opened = await Promise.allSettled(closed.map((gate) => open(context, gate)));
  failure ??= opened.find((one) => one.status === 'rejected')?.reason;
  if (failure !== undefined) throw failure;
}

interface Gate {
  readonly node: string;
  readonly input: { readonly volume: string; readonly epoch: number; readonly gate: string };
}

function gateOf(context: Context, { id, attachment }: VolumeRecord): readonly Gate[] {
  if (attachment === null) return [];
  const { node, epoch } = attachment;
  return [{ node, input: { volume: id, epoch, gate: `${context.operation}.${context.attempt}` } }];
}

/** Ends when the node is declared gone. No look at it before that, as elsewhere: writers wait for these. */
function ask<Name extends CommandName>(
  context: Context,
  node: string,
  name: Name,
  input: CommandMap[Name]['input'],
  options: { readonly key: string; readonly timeoutMs?: number },
): Promise<CommandMap[Name]['output']> {
  return whileNodesLive(context, [node], context.command(node, name, input, options));
}

const close = (context: Context, { node, input }: Gate): Promise<unknown> =>
  ask(
    context,
    node,
    'engine.close-gate',
    { ...input, timeoutMs: GATE_TIMEOUT_MS },
    { key: input.volume },
  );

async function open(context: Context, { node, input }: Gate): Promise<void> {
  const { held } = await ask(context, node, 'engine.open-gate', input, { key: input.volume });
  if (held) return;
  throw lariatError(
    'GATE_EXPIRED',
    'The engine let writes through before all replicas were frozen.',
    { volume: input.volume, node },
  );
}

export async function dropAllFrozen(
  context: Context,
  freezing: readonly Freezing[],
): Promise<void> {
  await Promise.all(freezing.map(({ record, snapshot }) => dropFrozen(context, record, snapshot)));
}

async function freezeAll(context: Context, record: VolumeRecord, snapshot: string): Promise<void> {
  const inSync = inSyncOf(record);
  await Promise.all(
    record.replicas
      .filter(({ id }) => inSync.includes(id))
      .map(({ id, node }) => {
        const input = { replica: id, volume: record.id, snapshot };
        const options = { key: id, timeoutMs: UNDER_GATE_TIMEOUT_MS };
        return ask(context, node, 'snapshot.create', input, options);
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
  const isIn = ({ id }: ReplicaRecord): boolean => inSync.includes(id);
  const others = record.replicas.filter((replica) => !isIn(replica));
  await Promise.all([
    dropFrozen(context, { ...record, replicas: others }, snapshot),
    ...record.replicas.filter(isIn).map(({ id, node }) => {
      const input = { replica: id, volume: record.id, snapshot };
      const options = { key: `again-${id}`, timeoutMs: UNDER_GATE_TIMEOUT_MS };
      return ask(context, node, 'snapshot.delete', input, options);
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
