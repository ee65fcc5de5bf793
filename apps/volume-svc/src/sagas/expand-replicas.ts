import type { VolumeRecord } from '@lariat/contracts';
import type { LariatError } from '@lariat/kernel';
import {
  COMMAND_TIMEOUT_MS,
  type StepContext,
  attemptWhileLive,
  cleanUp,
  commandWhileLive,
  isUnanswered,
} from '@lariat/saga';
import { inSyncOf } from '../domain/replica-changes.js';
import { type OnVolume, type SagaDeps, changeVolume } from './saga-deps.js';

export interface ExpandVolumeInput extends OnVolume {
  readonly sizeBytes: number;
}

export interface ExpandVolumeMemory {
  readonly fromBytes: number;
  readonly replicas: readonly { readonly id: string; readonly node: string }[];
  /** Null when the volume is detached. */
  readonly engine: { readonly node: string; readonly epoch: number } | null;
}

export type ExpandContext = StepContext<ExpandVolumeInput, ExpandVolumeMemory>;

/** How one replica's growth ended; of a node that is declared gone as well as of one that refused it is known. */
export type GrowthOutcome =
  | { readonly replica: string; readonly kind: 'grown' }
  | { readonly replica: string; readonly kind: 'refused'; readonly error: LariatError }
  | { readonly replica: string; readonly kind: 'unknown'; readonly error: LariatError };

/** What follows from the outcomes of all replicas that are in sync. */
export type GrowthVerdict =
  /** All that stay have grown; the others leave the in-sync set and are copied anew. */
  | { readonly kind: 'grown'; readonly left: readonly { replica: string; reason: string }[] }
  /** To be asked again. */
  | { readonly kind: 'again'; readonly error: LariatError }
  /** Not one has grown: the growth is given up. */
  | { readonly kind: 'refused'; readonly error: LariatError };

/**
 * Under an engine the raid is as large as its smallest leg, and hosts use what is larger at once: so nothing that has
 * grown is shrunk again. A replica that can't follow those that could leaves them. Pure.
 */
export function judgeGrowth(outcomes: readonly GrowthOutcome[]): GrowthVerdict {
  const unknown = outcomes.find((outcome) => outcome.kind === 'unknown');
  if (unknown !== undefined) return { kind: 'again', error: unknown.error };
  const refused = outcomes.filter((outcome) => outcome.kind === 'refused');
  const [first] = refused;
  if (first !== undefined && refused.length === outcomes.length)
    return { kind: 'refused', error: first.error };
  return {
    kind: 'grown',
    left: refused.map(({ replica, error }) => ({
      replica,
      reason: `it could not grow with the others: ${error.message}`,
    })),
  };
}

/** Grows the heads of a detached volume: all of them, or the step is undone. */
export async function growDetached(context: ExpandContext): Promise<void> {
  const { volume, sizeBytes } = context.input;
  const results = await Promise.allSettled(
    (context.memory.replicas ?? []).map(({ id, node }) =>
      commandWhileLive(
        context,
        node,
        'replica.resize',
        { replica: id, volume, sizeBytes },
        { key: id, timeoutMs: COMMAND_TIMEOUT_MS },
      ),
    ),
  );
  // Only when all have answered: nothing may grow behind the undo's back.
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** Grows the legs of a running engine. */
export async function growUnderEngine(deps: SagaDeps, context: ExpandContext): Promise<void> {
  // As it is now: a leg that the engine has lost since grows when it is rebuilt.
  const { value: record } = await deps.volumes.findFresh(context.input.volume);
  const outcomes = await Promise.all(inSyncOf(record).map((id) => growOne(context, record, id)));
  const verdict = judgeGrowth(outcomes);
  if (verdict.kind !== 'grown') throw verdict.error;
  const { engine = null, replicas = [] } = context.memory;
  const atMs = deps.clock.nowMs();
  const changed = await changeVolume(
    deps,
    context,
    verdict.left.map(({ replica, reason }) => ({ type: 'fault-replica', replica, reason, atMs })),
  );
  const inSync = inSyncOf(changed);
  // Also those that an earlier run of this step has put on record, and come no further with.
  const left = replicas.filter(({ id }) => !inSync.includes(id));
  if (left.length === 0) return;
  // On record and beside the replicas that stay, before the engine goes on without it (invariant 4).
  await deps.volumes.confirm(changed);
  for (const { id: replica } of left) {
    if (engine === null) continue;
    const input = { volume: record.id, epoch: engine.epoch, replica };
    await cleanUp(context, engine.node, 'engine.remove-leg', input, `leave-${replica}`);
  }
}

async function growOne(
  context: ExpandContext,
  record: VolumeRecord,
  replica: string,
): Promise<GrowthOutcome> {
  const node = record.replicas.find(({ id }) => id === replica)?.node ?? '';
  const input = { replica, volume: record.id, sizeBytes: context.input.sizeBytes };
  const outcome = await attemptWhileLive(context, node, 'replica.resize', input, replica);
  if (outcome.ok) return { replica, kind: 'grown' };
  const { error } = outcome;
  return { replica, kind: isUnanswered(error) ? 'unknown' : 'refused', error };
}
