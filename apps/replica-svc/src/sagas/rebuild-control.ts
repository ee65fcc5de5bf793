import {
  DEFAULT_REBUILD_CONTROL,
  type RebuildControl,
  hasCode,
  lariatError,
} from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import { unless, whileNodesLive } from '@lariat/saga';
import { type RebuildContext, type RebuildDeps, remembered } from './rebuild-memory.js';

const LOOK_EVERY_MS = 1_000;

/** What is asked of the rebuild now. Throws OPERATION_CANCELLED when it is to be undone. */
export async function controlOf(
  deps: RebuildDeps,
  context: RebuildContext,
): Promise<RebuildControl> {
  context.cancellation.throwIfAborted();
  const record = await deps.volumes.fresh(context.input.volume);
  const control = record?.rebuild ?? DEFAULT_REBUILD_CONTROL;
  if (control.cancelled !== context.operation) return control;
  const volume = `volume '${record?.name ?? context.input.volume}'`;
  throw lariatError(
    'OPERATION_CANCELLED',
    context.input.toDisks === undefined
      ? `The rebuild of ${volume} was cancelled; none begins by itself until it is resumed.`
      : `The move of a replica of ${volume} was cancelled; ask for it again when it is wanted.`,
    { operation: context.operation },
  );
}

/**
 * Waits while rebuilds of the volume are paused; a node that is declared gone ends the wait (invariant 8). The limit
 * for the next piece in MiB a second, 0 for none.
 */
export async function nextPieceLimit(deps: RebuildDeps, context: RebuildContext): Promise<number> {
  const source = remembered(context.memory.source, 'source');
  const target = remembered(context.memory.target, 'target');
  const first = await controlOf(deps, context);
  const limitOf = ({ mibPerSecond }: RebuildControl): number =>
    mibPerSecond ?? deps.limitMibPerSecond ?? 0;
  if (!first.paused) return limitOf(first);
  const gone = new AbortController();
  const resumed = async (): Promise<number> => {
    while (!gone.signal.aborted) {
      const control = await controlOf(deps, context);
      if (!control.paused) return limitOf(control);
      // The step's own words were written when it began: this is where operation.get shows the wait.
      context.progress(0, 0, 'paused by request');
      await delay(LOOK_EVERY_MS, gone.signal);
    }
    return 0;
  };
  try {
    return await whileNodesLive(context, [source.node, target.node], resumed());
  } finally {
    gone.abort();
  }
}

/** The work's outcome, or OPERATION_CANCELLED as soon as that is asked for. */
export function unlessCancelled<T>(
  deps: RebuildDeps,
  context: RebuildContext,
  work: Promise<T>,
): Promise<T> {
  return unless(work, LOOK_EVERY_MS, async () => {
    try {
      await controlOf(deps, context);
    } catch (error) {
      // A record that can't be read now asks for nothing: the work is not cut off for it.
      if (hasCode(error, 'OPERATION_CANCELLED')) throw error;
    }
  });
}
