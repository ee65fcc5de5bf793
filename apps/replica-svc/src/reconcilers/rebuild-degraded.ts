import { type Clock, delay, toLariatError } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import type { NodeStore } from '../adapters/node-store.js';
import type { VolumeView } from '../adapters/volume-view.js';
import { type RebuildPolicy, dueRebuild } from '../domain/due-rebuild.js';
import { isBackOn } from '../domain/returned.js';

const LOOK_EVERY_MS = 1_000;
/** After a rebuild that could not be begun or failed. */
const RETRY_AFTER_MS = 30_000;

/** Asks for the rebuild of each degraded volume whose time has come. */
export async function rebuildDegraded(
  deps: {
    volumes: VolumeView;
    nodes: Pick<NodeStore, 'list'>;
    client: LariatClient;
    clock: Clock;
    log: Log;
    policy: RebuildPolicy;
  },
  signal: AbortSignal,
): Promise<void> {
  const notBeforeMs = new Map<string, number>();
  while (!signal.aborted && deps.policy.byItself) {
    const nowMs = deps.clock.nowMs();
    const isBack = isBackOn(deps.nodes.list(), deps.clock.nowMs());
    for (const record of deps.volumes.list()) {
      if ((notBeforeMs.get(record.id) ?? 0) > nowMs) continue;
      const due = dueRebuild(record, deps.policy, nowMs, isBack);
      if (due === undefined) continue;
      notBeforeMs.set(record.id, nowMs + RETRY_AFTER_MS);
      const replica = due.replica === null ? {} : { replica: due.replica };
      try {
        await deps.client.request('replica.rebuild', {
          volume: record.id,
          ...replica,
          wait: false,
        });
        deps.log.info('rebuild begun', { volume: record.id, ...replica });
      } catch (error) {
        deps.log.info('rebuild not begun', { volume: record.id, code: toLariatError(error).code });
      }
    }
    await delay(LOOK_EVERY_MS, signal);
  }
}
