import { EXTENT_CLUSTERS, isOwned } from '../bdev/lvol/cluster-table.js';
import type { LvolRecord, RawMetadata, StoreRecord } from '../bdev/lvol/lvol-metadata.js';
import { someOf, type Finding } from './finding.js';
import { extentEntries, extentKey } from './store-content.js';

/** An entry of a table that says something: where on the disk a blob has its cluster. */
interface TableEntry {
  readonly cluster: number;
  readonly entry: number;
}

export interface SpaceAudit {
  readonly findings: readonly Finding[];
  /** Clusters of the disk that lvols hold, each once. */
  readonly usedClusters: number;
}

/**
 * Who holds which cluster of the disk. There is no map of free clusters on disk that could disagree: free is what no
 * lvol's table names, and the target counts it anew at each start.
 */
export function auditSpace(
  store: StoreRecord,
  lvols: readonly LvolRecord[],
  extents: RawMetadata['extents'],
): SpaceAudit {
  const findings: Finding[] = [];
  const tables = readTables(extents, findings);
  const owners = new Map<number, LvolRecord>();
  for (const lvol of lvols) {
    const other = owners.get(lvol.blobId);
    if (other === undefined) owners.set(lvol.blobId, lvol);
    else {
      const message = `lvols ${other.name} and ${lvol.name} have the same table, of blob ${lvol.blobId}`;
      findings.push({ kind: 'shared-table', message });
    }
  }
  for (const [blobId, entries] of tables) {
    if (owners.has(blobId)) continue;
    const message = `the table of blob ${blobId} is no lvol's, and names ${countOwned(entries)} cluster(s)`;
    findings.push({ kind: 'leaked-table', message });
  }
  const holders = new Map<number, LvolRecord>();
  const shared = new Map<string, number[]>();
  let reserved = 0;
  for (const lvol of owners.values()) {
    const entries = tables.get(lvol.blobId) ?? [];
    findings.push(...auditTable(store, lvol, entries));
    for (const { entry } of entries) {
      if (!isOwned(entry)) continue;
      const holder = holders.get(entry);
      if (holder === undefined) holders.set(entry, lvol);
      else
        pushTo(
          shared,
          holder === lvol ? `lvol ${lvol.name} twice` : `lvols ${holder.name} and ${lvol.name}`,
          entry,
        );
    }
    if (!lvol.isThin) reserved += Math.max(0, lvol.sizeClusters - countOwned(entries));
  }
  for (const [who, clusters] of shared) {
    const message = `${clusters.length} cluster(s) of the disk are held by ${who}: ${someOf(clusters)}`;
    findings.push({ kind: 'double-use', message });
  }
  // Cluster 0 is the superblock's.
  const free = store.totalClusters - 1 - holders.size;
  if (reserved > free) {
    const message = `thick lvols count on ${reserved} more cluster(s), and ${free} are free`;
    findings.push({ kind: 'over-reserved', message });
  }
  return { findings, usedClusters: holders.size };
}

function auditTable(
  store: StoreRecord,
  lvol: LvolRecord,
  entries: readonly TableEntry[],
): readonly Finding[] {
  const findings: Finding[] = [];
  const outside = entries.filter(({ entry }) => isOwned(entry) && entry >= store.totalClusters);
  if (outside.length > 0) {
    const message = `lvol ${lvol.name} has ${outside.length} cluster(s) outside the disk's ${store.totalClusters}: ${someOf(outside.map(({ entry }) => entry))}`;
    findings.push({ kind: 'outside-disk', message });
  }
  const pastEnd = entries.filter(({ cluster }) => cluster >= lvol.sizeClusters);
  if (pastEnd.length > 0) {
    const message = `lvol ${lvol.name} ends at cluster ${lvol.sizeClusters}, and has ${pastEnd.length} past it, which no one can read: ${someOf(pastEnd.map(({ cluster }) => cluster))}`;
    findings.push({ kind: 'leaked-entries', message });
  }
  return findings;
}

function readTables(
  extents: RawMetadata['extents'],
  findings: Finding[],
): ReadonlyMap<number, readonly TableEntry[]> {
  const tables = new Map<number, TableEntry[]>();
  for (const { key, value } of extents) {
    const where = extentKey(key);
    const entries = extentEntries(value);
    if (where === undefined || entries === undefined) {
      const message = `an extent has the key ${JSON.stringify(key)} and ${value.length} bytes`;
      findings.push({ kind: 'extent-record', message });
      continue;
    }
    const table = tables.get(where.blobId) ?? [];
    tables.set(where.blobId, table);
    for (const [at, entry] of entries.entries()) {
      if (entry !== 0) table.push({ cluster: where.index * EXTENT_CLUSTERS + at, entry });
    }
  }
  return tables;
}

function countOwned(entries: readonly TableEntry[]): number {
  return entries.filter(({ entry }) => isOwned(entry)).length;
}

function pushTo(groups: Map<string, number[]>, key: string, value: number): void {
  const group = groups.get(key) ?? [];
  groups.set(key, group);
  group.push(value);
}
