import { type Clock, type ReconcileCounts, delay, toLariatError } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import type { NodeStore } from '../adapters/node-store.js';
import type { VolumeView } from '../adapters/volume-view.js';
import { chooseRebuild } from '../domain/choose-rebuild.js';
import { type RebuildPolicy, dueRebuild } from '../domain/due-rebuild.js';
import { requireGate } from '../domain/held-writes.js';
import { RebuildLoad, type RunningRebuild, busyNodesOf } from '../domain/rebuild-load.js';
import { isBackOn, isReadyAmong } from '../domain/returned.js';

const LOOK_EVERY_MS = 1_000;
/** After a rebuild that could not be begun or failed. */
const RETRY_AFTER_MS = 30_000;

export interface RebuildDegradedDeps {
  readonly volumes: Pick<VolumeView, 'list'>;
  readonly nodes: Pick<NodeStore, 'list'>;
  /** Operations that have not ended. */
  readonly running: () => Iterable<RunningRebuild>;
  readonly client: Pick<LariatClient, 'request'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Log;
  readonly policy: RebuildPolicy;
  readonly counts: ReconcileCounts;
}

/** Asks for the rebuild of each degraded volume whose time has come, within the limit of each node. */
export async function rebuildDegraded(
  deps: RebuildDegradedDeps,
  signal: AbortSignal,
): Promise<void> {
  const notBeforeMs = new Map<string, number>();
  while (!signal.aborted && deps.policy.byItself) {
    await rebuildDue(deps, notBeforeMs);
    await delay(LOOK_EVERY_MS, signal);
  }
}

/** One round. `notBeforeMs`, by volume, is carried from round to round. */
export async function rebuildDue(
  deps: RebuildDegradedDeps,
  notBeforeMs: Map<string, number>,
): Promise<void> {
  const nowMs = deps.clock.nowMs();
  const nodes = deps.nodes.list();
  const isBack = isBackOn(nodes, nowMs);
  const isReady = isReadyAmong(nodes);
  const load = new RebuildLoad(deps.policy.maxPerNode);
  // One that is paused may stay so for days: the others do not wait for it.
  const paused = new Set(
    deps.volumes
      .list()
      .filter(({ rebuild }) => rebuild?.paused === true)
      .map(({ operation }) => operation),
  );
  for (const operation of deps.running())
    if (!paused.has(operation.id)) load.add(busyNodesOf(operation));
  for (const record of deps.volumes.list()) {
    deps.counts.looked('rebuilds');
    if ((notBeforeMs.get(record.id) ?? 0) > nowMs) continue;
    const due = dueRebuild(record, deps.policy, nowMs, isBack);
    if (due === undefined) continue;
    const replica = due.replica === null ? {} : { replica: due.replica };
    try {
      requireGate(record, nodes);
      const choice = chooseRebuild(record, replica.replica, isReady, isBack);
      const back = choice.isBack && choice.replaced !== null ? [choice.replaced.node] : [];
      const busy = [choice.source.node, ...back];
      // Looked at again in the next round: this is no failure.
      if (!load.hasRoomOn(busy)) continue;
      notBeforeMs.set(record.id, nowMs + RETRY_AFTER_MS);
      deps.counts.repaired('rebuilds');
      await deps.client.request('replica.rebuild', {
        volume: record.id,
        ...replica,
        keepPause: true,
        wait: false,
      });
      load.add(busy);
      deps.log.info('rebuild begun', { volume: record.id, ...replica });
    } catch (error) {
      notBeforeMs.set(record.id, nowMs + RETRY_AFTER_MS);
      deps.log.info('rebuild not begun', { volume: record.id, code: toLariatError(error).code });
    }
  }
}
