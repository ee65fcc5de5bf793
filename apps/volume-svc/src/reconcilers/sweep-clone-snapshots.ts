import { type VolumeRecord, isAtRest } from '@lariat/contracts';
import { type Clock, type ReconcileCounts, delay, toLariatError } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import { childrenOf } from '../domain/preconditions.js';

const LOOK_EVERY_MS = 1_000;
/** After a deletion that could not be begun. */
const RETRY_AFTER_MS = 15_000;

/** Ids of the snapshots that were taken for clones which are gone, as far as they can be deleted now. Pure. */
export function clonelessSnapshots(record: VolumeRecord): readonly string[] {
  if (record.operation !== null || !isAtRest(record)) return [];
  const needed = new Set((record.clones ?? []).map(({ snapshot }) => snapshot));
  return record.snapshots
    .filter(({ id, madeFor }) => madeFor === 'clone' && !needed.has(id))
    .filter(({ id }) => childrenOf(record, id).length <= 1)
    .map(({ id }) => id);
}

/** Deletes the snapshots that were taken for clones, when no clone stands on them any more. */
export async function sweepCloneSnapshots(
  deps: {
    readonly list: () => readonly VolumeRecord[];
    readonly client: LariatClient;
    readonly clock: Clock;
    readonly log: Log;
    readonly counts: ReconcileCounts;
  },
  signal: AbortSignal,
): Promise<void> {
  const notBeforeMs = new Map<string, number>();
  while (!signal.aborted) {
    const nowMs = deps.clock.nowMs();
    for (const record of deps.list()) {
      deps.counts.looked('clone-snapshots');
      const [snapshot] = clonelessSnapshots(record);
      if (snapshot === undefined || (notBeforeMs.get(snapshot) ?? 0) > nowMs) continue;
      notBeforeMs.set(snapshot, nowMs + RETRY_AFTER_MS);
      deps.counts.repaired('clone-snapshots');
      try {
        await deps.client.request('snapshot.delete', { volume: record.id, snapshot, wait: false });
      } catch (error) {
        const { code } = toLariatError(error);
        deps.log.info('snapshot of a former clone not deleted', { volume: record.id, code });
      }
    }
    for (const [snapshot, atMs] of notBeforeMs) if (atMs <= nowMs) notBeforeMs.delete(snapshot);
    await delay(LOOK_EVERY_MS, signal);
  }
}
