import { type ReconcileCounts, delay } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import type { Allocator } from '../adapters/allocator.js';
import type { VolumeView } from '../adapters/volume-view.js';

const LOOK_EVERY_MS = 10_000;

/** Ends the promises whose asker has died before a volume came to count on them. */
export async function endLeases(
  deps: {
    readonly allocator: Allocator;
    readonly volumes: Pick<VolumeView, 'fresh'>;
    readonly counts: ReconcileCounts;
    readonly log: Log;
  },
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      for (const { leases = {} } of deps.allocator.list())
        deps.counts.looked('leases', Object.keys(leases).length);
      const ended = await deps.allocator.settleLeases((volume) => deps.volumes.fresh(volume));
      deps.counts.repaired('leases', ended.length);
      if (ended.length > 0) deps.log.warn('promised capacity given back', { replicas: [...ended] });
    } catch (error) {
      deps.log.warn('leases of capacity not settled', { error });
    }
    await delay(LOOK_EVERY_MS, signal);
  }
}
