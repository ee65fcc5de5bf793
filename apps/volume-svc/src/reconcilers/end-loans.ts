import { type CloneRecord, type VolumeRecord, hasCode, isEnded } from '@lariat/contracts';
import { type Clock, type ReconcileCounts, delay, toLariatError } from '@lariat/kernel';
import type { SagaStore } from '@lariat/saga';
import type { Log } from '@lariat/telemetry';
import type { VolumeStore } from '../adapters/volume-store.js';

const LOOK_EVERY_MS = 10_000;
/** How long the import must have been over: its own word that it is comes sooner. */
const STANDS_FOR_MS = 30_000;

export interface EndLoansDeps {
  readonly volumes: Pick<VolumeStore, 'list' | 'change'>;
  readonly operations: Pick<SagaStore, 'find'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly counts: ReconcileCounts;
  readonly log: Log;
}

/**
 * Forgets images that are on record as being made of a volume when their import has ended: one that was cut off may have
 * had its snapshot lent after it was undone.
 */
export async function endLoans(deps: EndLoansDeps, signal: AbortSignal): Promise<void> {
  const since = new Map<string, number>();
  while (!signal.aborted) {
    await endLoansOnce(deps, since);
    await delay(LOOK_EVERY_MS, signal);
  }
}

/** One round. `since`, when each was first seen without its import, is carried from round to round. */
export async function endLoansOnce(deps: EndLoansDeps, since: Map<string, number>): Promise<void> {
  const records = deps.volumes.list();
  deps.counts.looked('loans', records.length);
  const lent = records.flatMap((record) => loansOf(record));
  const images = new Set(lent.map(({ image }) => image));
  for (const image of since.keys()) if (!images.has(image)) since.delete(image);
  for (const loan of lent) {
    try {
      await endOne(deps, loan, since);
    } catch (error) {
      deps.log.warn('loan not looked at', { ...loan, code: toLariatError(error).code });
    }
  }
}

interface Loan {
  readonly volume: string;
  readonly image: string;
  readonly borrower: string;
}

const loansOf = ({ id, clones = [] }: VolumeRecord): readonly Loan[] =>
  clones.flatMap(({ kind, volume: image, operation }: CloneRecord) =>
    kind === 'image' && operation !== undefined ? [{ volume: id, image, borrower: operation }] : [],
  );

async function endOne(
  { volumes, operations, clock, counts, log }: EndLoansDeps,
  loan: Loan,
  since: Map<string, number>,
): Promise<void> {
  const { volume, image, borrower } = loan;
  const found = await operations.find(borrower);
  if (found !== undefined && !isEnded(found.value.state)) {
    since.delete(image);
    return;
  }
  const nowMs = clock.monotonicMs();
  const firstMs = since.get(image) ?? nowMs;
  since.set(image, firstMs);
  if (nowMs - firstMs < STANDS_FOR_MS) return;
  counts.repaired('loans');
  try {
    await volumes.change(volume, null, [{ type: 'drop-clone', volume: image }], 'volume-svc');
  } catch (error) {
    if (!hasCode(error, 'VOLUME_NOT_FOUND')) throw error;
  }
  log.warn('snapshot given back: the import that read it has ended', { ...loan });
}
