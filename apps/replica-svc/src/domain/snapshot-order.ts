import type { SnapshotRecord } from '@lariat/contracts';

/** Parents before children, so that each copy has the copy that it stands on. Pure. */
export function inCopyOrder(snapshots: readonly SnapshotRecord[]): readonly SnapshotRecord[] {
  const ordered: SnapshotRecord[] = [];
  const done = new Set<string | null>([null]);
  let rest = [...snapshots];
  while (rest.length > 0) {
    const ready = rest.filter((snapshot) => done.has(snapshot.parent));
    if (ready.length === 0) throw new Error('the snapshots of a volume are not a tree');
    for (const snapshot of ready) {
      ordered.push(snapshot);
      done.add(snapshot.id);
    }
    rest = rest.filter((snapshot) => !done.has(snapshot.id));
  }
  return ordered;
}
