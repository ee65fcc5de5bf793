import type { VolumeRecord } from '@lariat/contracts';

/** What a recovery knows of a clone whose operation was lost. */
export interface LostClone {
  /** Its record in the store, or as it would be put back; undefined: no node that answers keeps one. */
  readonly record: Pick<VolumeRecord, 'state'> | undefined;
  readonly wasDeleted: boolean;
  /** Nodes that do not answer. */
  readonly silent: readonly string[];
  /** The operator takes what was found for all that there is. */
  readonly acceptDataLoss: boolean;
}

/**
 * What becomes of it on the record of its source. A node keeps a copy of a new volume's record only when it is whole, so
 * `ready` is what is found; `dropped` is what nobody has, or has no more. `unknown`: a node that does not answer may have it,
 * or it is on record as being made. Pure.
 */
export function cloneFate(clone: LostClone): 'ready' | 'dropped' | 'unknown' {
  if (clone.record !== undefined) return clone.record.state === 'creating' ? 'unknown' : 'ready';
  if (clone.wasDeleted || clone.acceptDataLoss || clone.silent.length === 0) return 'dropped';
  return 'unknown';
}
