import { isOwned, UNALLOCATED, ZEROED } from './cluster-table.js';
import type { LvolIo } from './lvol-io.js';
import type { EntryChange } from './lvol-metadata.js';
import type { Lvol } from './lvol.js';

export interface Merge {
  /** Changes of the clone's table that leave its content as it is without the snapshot. */
  readonly entries: readonly EntryChange[];
  /** Clusters of the disk that neither needs. */
  readonly freed: readonly number[];
}

/** What the deletion of a snapshot changes for its only clone. */
export function mergeIntoClone(io: LvolIo, snapshot: Lvol, clone: Lvol): Merge {
  const { table } = clone;
  const entries: EntryChange[] = [];
  const freed: number[] = [];
  for (const [cluster, entry] of snapshot.table.entries()) {
    const shows = cluster < clone.sizeClusters && table.get(cluster) === UNALLOCATED;
    if (!shows) {
      if (isOwned(entry)) freed.push(entry);
    } else {
      entries.push({ table, cluster, entry });
    }
  }
  // A snapshot smaller than its clone has hidden what is beneath past its end.
  const end = Math.min(clone.sizeClusters, io.endBelow(snapshot));
  for (let cluster = snapshot.sizeClusters; cluster < end; cluster += 1) {
    const wouldShow = table.get(cluster) === UNALLOCATED && isBacked(io, snapshot, cluster);
    if (wouldShow) entries.push({ table, cluster, entry: ZEROED });
  }
  return { entries, freed };
}

function isBacked(io: LvolIo, lvol: Lvol, cluster: number): boolean {
  return io.locateBelow(lvol, cluster).kind !== 'zeros';
}
