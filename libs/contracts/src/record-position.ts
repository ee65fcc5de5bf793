import type { VolumeRecord } from './volume.js';

/**
 * Where a volume's record stands in the order of all that it has been. A recovery begins a new generation: what was
 * written before it, and was not found by it, never counts again.
 */
export interface RecordPosition {
  readonly generation: number;
  /** Counts the changes of the record, from 1. */
  readonly revision: number;
}

export function positionOf(record: Pick<VolumeRecord, 'generation' | 'revision'>): RecordPosition {
  return { generation: record.generation ?? 0, revision: record.revision ?? 0 };
}

/** Negative when `a` is older than `b`, 0 when it is the same, positive when it is newer. */
export function comparePositions(a: RecordPosition, b: RecordPosition): number {
  return a.generation - b.generation || a.revision - b.revision;
}
