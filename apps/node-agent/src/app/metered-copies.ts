import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import { METRICS, type Metrics } from '@lariat/telemetry';
import type { CommandContext } from './command-handlers.js';

type Progress = CommandContext['progress'];

/** Counts what a rebuild's command copies, as it tells it; other commands are none of this. */
export function meteredCopies(
  metrics: Metrics,
  node: string,
  command: string,
  progress: Progress,
): Progress {
  if (!command.startsWith('rebuild.')) return progress;
  let counted = 0;
  return (done, total, unit) => {
    if (unit === 'clusters' && done > counted) {
      metrics.add(METRICS.rebuildBytes, { 'node.id': node }, (done - counted) * CLUSTER_SIZE_BYTES);
      counted = done;
    }
    progress(done, total, unit);
  };
}
