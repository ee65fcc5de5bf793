import { type Clock, type ReconcileCounts, delay, toLariatError } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import type { NodeStore } from '../adapters/node-store.js';
import type { VolumeView } from '../adapters/volume-view.js';
import { surplusReplica } from '../domain/surplus.js';
import { standing } from './standing.js';

const LOOK_EVERY_MS = 1_000;
/** How long a volume must have had too many: longer than the steps between a new number and the removals that follow. */
const SURPLUS_FOR_MS = 30_000;

export interface RemoveSurplusDeps {
  readonly volumes: Pick<VolumeView, 'list' | 'fresh'>;
  readonly nodes: Pick<NodeStore, 'list'>;
  /** Operations that have not ended. */
  readonly running: () => Iterable<{ readonly subject: string }>;
  readonly client: Pick<LariatClient, 'request'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly counts: ReconcileCounts;
  readonly log: Log;
}

/** Asks for the removal of what volumes have beyond their number of replicas. */
export async function removeSurplus(deps: RemoveSurplusDeps, signal: AbortSignal): Promise<void> {
  const sinceMs = new Map<string, number>();
  while (!signal.aborted) {
    await removeDue(deps, sinceMs);
    await delay(LOOK_EVERY_MS, signal);
  }
}

/** One round. `sinceMs`, by volume, is carried from round to round. */
export async function removeDue(
  { volumes, nodes: store, running, client, clock, counts, log }: RemoveSurplusDeps,
  sinceMs: Map<string, number>,
): Promise<void> {
  const nowMs = clock.monotonicMs();
  const nodes = store.list();
  // A change of the number takes away what is too many by itself.
  const busy = new Set(Array.from(running(), ({ subject }) => subject));
  const listed = volumes.list();
  counts.looked('surplus', listed.length);
  const found = listed
    .filter((record) => surplusReplica(record, nodes) !== undefined)
    .map(({ id }) => id)
    .filter((id) => !busy.has(`volume-replicas/${id}`));
  for (const id of standing(sinceMs, found, nowMs, SURPLUS_FOR_MS)) {
    sinceMs.set(id, nowMs);
    try {
      // What is taken away on old news is taken away wrongly.
      const record = await volumes.fresh(id);
      const surplus = record === undefined ? undefined : surplusReplica(record, nodes);
      if (surplus === undefined) continue;
      const wanted = { volume: id, replica: surplus.id };
      counts.repaired('surplus');
      await client.request('replica.remove', { ...wanted, wait: false });
      log.info('removal of a surplus replica begun', wanted);
    } catch (error) {
      log.info('surplus replica not removed', { volume: id, code: toLariatError(error).code });
    }
  }
}
