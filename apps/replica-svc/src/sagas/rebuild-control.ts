import { DEFAULT_REBUILD_CONTROL, type RebuildControl } from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import { whileNodesLive, whileWanted } from '@lariat/saga';
import { type RebuildContext, type RebuildDeps, remembered } from './rebuild-memory.js';

const LOOK_EVERY_MS = 1_000;

async function controlOf(deps: RebuildDeps, context: RebuildContext): Promise<RebuildControl> {
  const record = await deps.volumes.fresh(context.input.volume);
  return record?.rebuild ?? DEFAULT_REBUILD_CONTROL;
}

/**
 * Waits while rebuilds of the volume are paused; a node that is declared gone ends the wait (invariant 8), and so does a
 * cancel. The limit for the next piece in MiB a second, 0 for none.
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
    const wanted = whileWanted(context, resumed());
    return await whileNodesLive(context, [source.node, target.node], wanted);
  } finally {
    gone.abort();
  }
}
