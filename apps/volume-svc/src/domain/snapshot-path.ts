import type { SnapshotRecord } from '@lariat/contracts';

/** The snapshots that the given one stands on, the oldest first, and itself. Pure. */
export function pathTo(
  snapshots: readonly SnapshotRecord[],
  id: string,
): readonly SnapshotRecord[] {
  const byId = new Map(snapshots.map((snapshot) => [snapshot.id, snapshot]));
  const path: SnapshotRecord[] = [];
  for (let at = byId.get(id); at !== undefined && !path.includes(at);) {
    path.unshift(at);
    at = at.parent === null ? undefined : byId.get(at.parent);
  }
  return path;
}
