import type { ImageRecord } from './image.js';
import type { VolumeRecord } from './volume.js';

/** The records of which nodes keep copies, beside what they have of each: recovery goes by those (docs/adr/0016). */
export interface KeptRecords {
  readonly volume: VolumeRecord;
  readonly image: ImageRecord;
}

export type RecordKind = keyof KeptRecords;

/**
 * Where a record stands in the order of all that it has been. A recovery begins a new generation: what was
 * written before it, and was not found by it, never counts again.
 */
export interface RecordPosition {
  readonly generation: number;
  /** Counts the changes of the record, from 1. */
  readonly revision: number;
}

/** What of a record tells its position; missing: 0. */
export type Positioned = Partial<RecordPosition>;

export function positionOf(record: Positioned): RecordPosition {
  return { generation: record.generation ?? 0, revision: record.revision ?? 0 };
}

/** Negative when `a` is older than `b`, 0 when it is the same, positive when it is newer. */
export function comparePositions(a: RecordPosition, b: RecordPosition): number {
  return a.generation - b.generation || a.revision - b.revision;
}

/** Above everything that was written before a recovery, also by nodes that were not heard. */
export const positionRecovered = (newest: Positioned): RecordPosition => ({
  generation: positionOf(newest).generation + 1,
  revision: positionOf(newest).revision + 1,
});

/** Which nodes keep a kind of record. */
export interface KeepingRules<Kind extends RecordKind> {
  readonly kind: Kind;
  /** All that a copy belongs on. */
  readonly keepersOf: (record: KeptRecords[Kind]) => readonly string[];
  /**
   * Of these one must keep a change before it counts. `newcomers`: what the change itself put on record, which nobody who
   * has missed it would ask.
   */
  readonly witnessesOf: (
    record: KeptRecords[Kind],
    newcomers?: readonly string[],
  ) => readonly string[];
  /** Those that are heard, and not needed. */
  readonly joiningOf: (record: KeptRecords[Kind]) => readonly string[];
  /** What makes a node a witness, for a person: 'a healthy replica'. */
  readonly witness: string;
}

/** A copy of a record that its node keeps, and should not: it is behind the record, or ahead of it. */
export interface StrayRecordCopy {
  readonly id: string;
  readonly held: RecordPosition | null;
  readonly is: 'behind' | 'ahead';
}

/** What a node that has a part of something says of the copy that it keeps. */
export interface ToldRecordCopy {
  readonly id: string;
  readonly held: RecordPosition | null;
  /** The record, and whether it lists that part and no operation is about to change it; undefined: there is nothing to compare. */
  readonly with: { readonly record: Positioned; readonly isSettled: boolean } | undefined;
}

/** The copies of a node that differ from the records, one for each record. Pure. */
export function findStrayCopies(told: readonly ToldRecordCopy[]): readonly StrayRecordCopy[] {
  const strays = new Map<string, StrayRecordCopy>();
  for (const { id, held, with: known } of told) {
    if (known === undefined) continue;
    const order = held === null ? -1 : comparePositions(held, positionOf(known.record));
    if (order > 0) strays.set(id, { id, held, is: 'ahead' });
    if (order < 0 && known.isSettled) strays.set(id, { id, held, is: 'behind' });
  }
  return [...strays.values()];
}
