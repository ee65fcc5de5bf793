import { type Clock, type ReconcileCounts, delay, toLariatError } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import type { NodeStore } from '../adapters/node-store.js';
import type { OrphanStore } from '../adapters/orphan-store.js';
import { type OrphanPolicy, deletesAtMs } from '../domain/orphans.js';
import { isReadyAmong } from '../domain/returned.js';

const LOOK_EVERY_MS = 1_000;
/** One that its node refuses, since another stands on it or uses it, is asked for again after this. */
const RETRY_MS = 60_000;

export interface DeleteOrphansDeps {
  readonly orphans: Pick<OrphanStore, 'list'>;
  readonly nodes: Pick<NodeStore, 'list'>;
  readonly client: Pick<LariatClient, 'request'>;
  readonly clock: Clock;
  readonly counts: ReconcileCounts;
  readonly log: Log;
  readonly policy: OrphanPolicy;
}

/** Asks for the deletion of orphans whose grace has passed. */
export async function deleteOrphans(deps: DeleteOrphansDeps, signal: AbortSignal): Promise<void> {
  const askedAtMs = new Map<string, number>();
  while (!signal.aborted) {
    await deleteDue(deps, askedAtMs);
    await delay(LOOK_EVERY_MS, signal);
  }
}

/** One round. `askedAtMs`, by orphan, is carried from round to round. */
export async function deleteDue(
  { orphans, nodes, client, clock, counts, log, policy }: DeleteOrphansDeps,
  askedAtMs: Map<string, number>,
): Promise<void> {
  const listed = orphans.list();
  const isReady = isReadyAmong(nodes.list());
  const ids = new Set(listed.map(({ id }) => id));
  for (const id of askedAtMs.keys()) if (!ids.has(id)) askedAtMs.delete(id);
  for (const orphan of listed) {
    const dueMs = deletesAtMs(orphan, policy);
    const nowMs = clock.monotonicMs();
    const askedMs = askedAtMs.get(orphan.id);
    if (dueMs === undefined || dueMs > clock.nowMs() || !isReady(orphan.node)) continue;
    if (askedMs !== undefined && nowMs - askedMs < RETRY_MS) continue;
    askedAtMs.set(orphan.id, nowMs);
    counts.repaired('orphans');
    try {
      await client.request('orphan.delete', { orphan: orphan.id, wait: false });
      log.info('deletion of an orphan begun', { orphan: orphan.id, node: orphan.node });
    } catch (error) {
      log.info('orphan not deleted', { orphan: orphan.id, code: toLariatError(error).code });
    }
  }
}
