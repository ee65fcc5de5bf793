import type { LvolRecord } from '../bdev/lvol/lvol-metadata.js';
import type { Finding } from './finding.js';

/** Names and parents: what the lvols of a store say of each other. */
export function auditLineage(lvols: readonly LvolRecord[]): readonly Finding[] {
  const byUuid = new Map(lvols.map((lvol) => [lvol.uuid, lvol]));
  return [...duplicateNames(lvols), ...lvols.flatMap((lvol) => auditParent(lvol, byUuid))];
}

function duplicateNames(lvols: readonly LvolRecord[]): readonly Finding[] {
  const names = new Map<string, number>();
  for (const { name } of lvols) names.set(name, (names.get(name) ?? 0) + 1);
  return [...names]
    .filter(([, count]) => count > 1)
    .map(([name, count]) => ({
      kind: 'duplicate-name',
      message: `${count} lvols have the name ${name}`,
    }));
}

function auditParent(lvol: LvolRecord, byUuid: ReadonlyMap<string, LvolRecord>): Finding[] {
  // A bdev outside the store comes and goes; the target waits for it.
  if (lvol.parent.kind !== 'lvol') return [];
  const parent = byUuid.get(lvol.parent.uuid);
  if (parent === undefined) {
    const message = `the parent of lvol ${lvol.name}, ${lvol.parent.uuid}, is not in the store: what the lvol has from it is lost`;
    return [{ kind: 'dangling-parent', message }];
  }
  if (isAboveItself(lvol, byUuid)) {
    return [{ kind: 'parent-cycle', message: `lvol ${lvol.name} stands on itself` }];
  }
  if (!parent.isReadOnly) {
    const message = `lvol ${lvol.name} stands on ${parent.name}, which can be written: the writes would show in both`;
    return [{ kind: 'writable-parent', message }];
  }
  return [];
}

function isAboveItself(lvol: LvolRecord, byUuid: ReadonlyMap<string, LvolRecord>): boolean {
  const seen = new Set<LvolRecord>();
  let at: LvolRecord | undefined = lvol;
  while (at !== undefined && !seen.has(at)) {
    seen.add(at);
    at = at.parent.kind === 'lvol' ? byUuid.get(at.parent.uuid) : undefined;
    if (at === lvol) return true;
  }
  return false;
}
