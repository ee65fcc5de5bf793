import {
  type KeptRecords,
  type Positioned,
  type RecordKind,
  type RecordPosition,
  type StrayRecordCopy,
  comparePositions,
  positionOf,
} from '@lariat/contracts';
import { type ReconcileCounts, delay } from '@lariat/kernel';
import type { RecordCopies } from './record-copies.js';

/** A read of JetStream may lag behind the write that a node has heard of. */
const LAG_TRIES = 5;
const LAG_RETRY_MS = 200;

/** Whether the store, by `read`, has come as far as a copy of a record, or further. */
export async function hasReached(
  read: () => Promise<Positioned | undefined>,
  held: RecordPosition,
): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    const found = await read();
    // One that was deleted meanwhile is behind nothing.
    if (found === undefined || comparePositions(positionOf(found), held) >= 0) return true;
    if (attempt >= LAG_TRIES) return false;
    await delay(LAG_RETRY_MS);
  }
}

export interface CopyKeeping<Kind extends RecordKind> {
  readonly copies: Pick<RecordCopies<Kind>, 'sendTo'>;
  readonly counts: ReconcileCounts;
  readonly cached: (id: string) => KeptRecords[Kind] | undefined;
  readonly hasReached: (id: string, held: RecordPosition) => Promise<boolean>;
  /** The store was set back: it is older than what the node keeps. */
  readonly onStoreBehind: (id: string) => Promise<void>;
}

/** Sends a node the records that it has missed, and finds out when it is the store that is behind. */
export async function settleRecordCopies<Kind extends RecordKind>(
  { copies, counts, cached, hasReached: isReached, onStoreBehind }: CopyKeeping<Kind>,
  node: string,
  strays: readonly StrayRecordCopy[],
): Promise<void> {
  for (const { id, held, is } of strays) {
    const record = cached(id);
    if (is === 'behind' && record !== undefined) {
      counts.repaired('record-copies');
      copies.sendTo(node, record);
    }
    if (is === 'behind' || held === null || (await isReached(id, held))) continue;
    counts.repaired('record-copies');
    await onStoreBehind(id);
  }
}
