import { type HeldSnapshot, STALE_HEAD, type SnapshotRecord } from '@lariat/contracts';
import { inCopyOrder } from './snapshot-order.js';

/** What a rebuild makes of what a returning replica has. */
export interface ResyncPlan {
  /** Snapshots of the volume that the replica has, with the same content, on the same parent. */
  readonly keep: readonly string[];
  /** The one snapshot that is made from the replica's old head by what differs; null: the old head is of no use. */
  readonly patch: string | null;
}

type Wanted = Pick<SnapshotRecord, 'id' | 'parent'>;

/**
 * Compares the volume's snapshots with those that the replica holds. `same`: ids whose content has been found equal
 * on both sides. `tip` is the snapshot beneath the new head. Every snapshot that is not kept, and whatever stands on
 * it, is made anew, so that the replica ends with exactly the tree on record. Pure.
 */
export function planResync(
  snapshots: readonly Wanted[],
  tip: string,
  held: readonly HeldSnapshot[],
  same: ReadonlySet<string>,
): ResyncPlan {
  const wanted = new Map(snapshots.map((snapshot) => [snapshot.id, snapshot]));
  const holds = new Map(held.map((snapshot) => [snapshot.snapshot, snapshot]));
  const keep = new Set([...same].filter((id) => wanted.has(id) && holds.has(id)));
  for (;;) {
    settle(keep, wanted, holds);
    const patch = patchable(wanted, tip, holds, keep);
    const survivors = new Set(patch === null ? keep : [...keep, STALE_HEAD]);
    const fork = unwantedFork(held, survivors);
    if (fork === undefined) return { keep: [...keep], patch };
    // An lvol with several clones can't be deleted. Without the old head it may have but one.
    if (patch !== null && unwantedFork(held, keep) === undefined) {
      return { keep: [...keep], patch: null };
    }
    for (const id of fork) keep.delete(id);
  }
}

/** Snapshots worth comparing: held by the replica, with all that they stand on held too. Parents first. Pure. */
export function comparable(
  snapshots: readonly SnapshotRecord[],
  held: readonly HeldSnapshot[],
): readonly string[] {
  const holds = new Set(held.map(({ snapshot }) => snapshot));
  const found = new Set<string>();
  for (const { id, parent } of inCopyOrder(snapshots)) {
    if (holds.has(id) && (parent === null || found.has(parent))) found.add(id);
  }
  return [...found];
}

/** Drops from `keep` what does not stand, on the replica, on what it stands on by the record. */
function settle(
  keep: Set<string>,
  wanted: ReadonlyMap<string, Wanted>,
  holds: ReadonlyMap<string, HeldSnapshot>,
): void {
  for (let changed = true; changed;) {
    changed = false;
    for (const id of keep) {
      const parent = wanted.get(id)?.parent ?? null;
      if (keptBelow(id, holds, keep) === parent) continue;
      keep.delete(id);
      changed = true;
    }
  }
}

/** The nearest kept snapshot beneath one; those between go, and what they have goes up. */
function keptBelow(
  id: string,
  holds: ReadonlyMap<string, HeldSnapshot>,
  keep: ReadonlySet<string>,
): string | null {
  let below = holds.get(id)?.parent ?? null;
  while (below !== null && !keep.has(below)) below = holds.get(below)?.parent ?? null;
  return below;
}

/** The lowest snapshot beneath the head that must be made, when the old head stands where it is to stand. */
function patchable(
  wanted: ReadonlyMap<string, Wanted>,
  tip: string,
  holds: ReadonlyMap<string, HeldSnapshot>,
  keep: ReadonlySet<string>,
): string | null {
  if (!holds.has(STALE_HEAD)) return null;
  let lowest = wanted.get(tip);
  while (lowest !== undefined && lowest.parent !== null && !keep.has(lowest.parent))
    lowest = wanted.get(lowest.parent);
  if (lowest === undefined) return null;
  return keptBelow(STALE_HEAD, holds, keep) === lowest.parent ? lowest.id : null;
}

/** What survives above a snapshot that is to go and that more than one survivor stands on; undefined: there is none. */
function unwantedFork(
  held: readonly HeldSnapshot[],
  survivors: ReadonlySet<string>,
): readonly string[] | undefined {
  const childrenOf = (id: string): readonly HeldSnapshot[] =>
    held.filter(({ parent }) => parent === id);
  const survivorsFrom = (id: string): readonly string[] => [
    ...(survivors.has(id) ? [id] : []),
    ...childrenOf(id).flatMap(({ snapshot }) => survivorsFrom(snapshot)),
  ];
  for (const { snapshot } of held) {
    if (survivors.has(snapshot)) continue;
    const branches = childrenOf(snapshot)
      .map((child) => survivorsFrom(child.snapshot))
      .filter(({ length }) => length > 0);
    if (branches.length > 1) return branches.flat();
  }
  return undefined;
}
