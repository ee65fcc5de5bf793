import { type OperationState, type VolumeRecord, isAtRest } from '@lariat/contracts';
import { type Clock, type ReconcileCounts, delay, toLariatError } from '@lariat/kernel';
import type { SagaStore } from '@lariat/saga';
import type { Log } from '@lariat/telemetry';
import type { VolumeStore } from '../adapters/volume-store.js';

const LOOK_EVERY_MS = 10_000;
/** How long a claim must have had no operation: a release that its saga has sent comes sooner. */
const STANDS_FOR_MS = 30_000;

export interface ReleaseClaimsDeps {
  readonly volumes: Pick<VolumeStore, 'list' | 'change'>;
  readonly operations: Pick<SagaStore, 'find'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly counts: ReconcileCounts;
  readonly log: Log;
}

/** Lets go the volumes that are held by operations which nobody runs any more. */
export async function releaseClaims(deps: ReleaseClaimsDeps, signal: AbortSignal): Promise<void> {
  const since = new Map<string, number>();
  while (!signal.aborted) {
    await releaseClaimsOnce(deps, since);
    await delay(LOOK_EVERY_MS, signal);
  }
}

/** One round. `since`, when each claim was first seen without its operation, is carried from round to round. */
export async function releaseClaimsOnce(
  deps: ReleaseClaimsDeps,
  since: Map<string, number>,
): Promise<void> {
  const records = deps.volumes.list();
  deps.counts.looked('claims', records.length);
  const held = records.filter(({ operation, inDoubt }) => {
    return operation !== null && inDoubt === undefined;
  });
  const names = new Set(held.map((record) => claimOf(record)));
  for (const claim of since.keys()) if (!names.has(claim)) since.delete(claim);
  await Promise.all(
    held.map((record) =>
      releaseOne(deps, record, since).catch((error: unknown) =>
        deps.log.warn('claim not looked at', {
          volume: record.id,
          code: toLariatError(error).code,
        }),
      ),
    ),
  );
}

async function releaseOne(
  { volumes, operations, clock, counts, log }: ReleaseClaimsDeps,
  record: VolumeRecord,
  since: Map<string, number>,
): Promise<void> {
  const { id, operation } = record;
  if (operation === null) return;
  const found = await operations.find(operation);
  if (!isLeft(record, found?.value.state)) {
    since.delete(claimOf(record));
    return;
  }
  const nowMs = clock.monotonicMs();
  const firstMs = since.get(claimOf(record)) ?? nowMs;
  since.set(claimOf(record), firstMs);
  if (nowMs - firstMs < STANDS_FOR_MS) return;
  counts.repaired('claims');
  // Of that very operation: a claim that another one has made since stays.
  await volumes.change(id, operation, [{ type: 'release', operation }], 'volume-svc');
  log.warn('volume let go: its operation has ended, or is not on record', {
    volume: id,
    operation,
    state: record.state,
  });
}

/**
 * Whether nobody will ever let go of the volume. One that has stuck keeps it on purpose, and so may one that has failed half
 * way: nothing is to build on a half state. Pure.
 */
export function isLeft(record: VolumeRecord, operation: OperationState | undefined): boolean {
  if (operation === undefined) return true;
  return isAtRest(record) && (operation === 'succeeded' || operation === 'failed');
}

const claimOf = ({ id, operation }: VolumeRecord): string => `${id}/${operation ?? ''}`;
