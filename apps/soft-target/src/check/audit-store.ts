import type { LvolRecord, RawMetadata } from '../bdev/lvol/lvol-metadata.js';
import type { Superblock } from '../bdev/lvol/superblock.js';
import { auditLineage } from './audit-lineage.js';
import { auditSpace } from './audit-space.js';
import type { Finding } from './finding.js';
import { isLvolRecord, isStoreRecord } from './store-content.js';

/** A disk as far as a store must fit it. */
export interface CheckedDisk {
  readonly path: string;
  readonly sizeBytes: number;
  readonly superblock: Superblock | undefined;
}

export interface StoreAudit {
  /** Null when the record of the store itself is damaged. */
  readonly name: string | null;
  readonly lvols: number;
  readonly usedClusters: number;
  readonly totalClusters: number;
  readonly findings: readonly Finding[];
}

/** All that is wrong with the metadata of the store `uuid`, and with its disk where that is known. Pure. */
export function auditStore(
  uuid: string,
  content: RawMetadata,
  disk: CheckedDisk | undefined,
): StoreAudit {
  const findings: Finding[] = [];
  const lvols: LvolRecord[] = [];
  for (const { key, value } of content.lvols) {
    if (isLvolRecord(value) && value.uuid === key) lvols.push(value);
    else {
      const message = `the record of lvol ${String(key)} is damaged: ${JSON.stringify(value)}`;
      findings.push({ kind: 'lvol-record', message });
    }
  }
  findings.push(...auditLineage(lvols));
  const { store } = content;
  if (!isStoreRecord(store) || store.uuid !== uuid) {
    const message =
      store === undefined
        ? 'the record of the store is missing'
        : `the record of the store is damaged, or another's: ${JSON.stringify(store)}`;
    findings.push({ kind: 'store-record', message });
    return { name: null, lvols: lvols.length, usedClusters: 0, totalClusters: 0, findings };
  }
  const space = auditSpace(store, lvols, content.extents);
  findings.push(...space.findings);
  const { name, clusterSizeBytes, totalClusters } = store;
  if (disk !== undefined) {
    if (disk.superblock !== undefined && disk.superblock.clusterSizeBytes !== clusterSizeBytes) {
      const message = `${disk.path} has clusters of ${disk.superblock.clusterSizeBytes} bytes by its superblock, and of ${clusterSizeBytes} by its metadata`;
      findings.push({ kind: 'superblock', message });
    }
    const neededBytes = totalClusters * clusterSizeBytes;
    if (disk.sizeBytes < neededBytes) {
      const message = `${disk.path} has ${disk.sizeBytes} bytes, and its store ${neededBytes}`;
      findings.push({ kind: 'disk-too-small', message });
    }
  }
  const { usedClusters } = space;
  return { name, lvols: lvols.length, usedClusters, totalClusters, findings };
}
