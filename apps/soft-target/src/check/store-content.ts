import { EXTENT_CLUSTERS } from '../bdev/lvol/cluster-table.js';
import type { LvolRecord, ParentRecord, StoreRecord } from '../bdev/lvol/lvol-metadata.js';

export interface ExtentKey {
  readonly blobId: number;
  readonly index: number;
}

export function isStoreRecord(value: unknown): value is StoreRecord {
  return (
    isObject(value) &&
    value['format'] === 1 &&
    typeof value['uuid'] === 'string' &&
    typeof value['name'] === 'string' &&
    isCount(value['clusterSizeBytes']) &&
    value['clusterSizeBytes'] > 0 &&
    isCount(value['totalClusters'])
  );
}

export function isLvolRecord(value: unknown): value is LvolRecord {
  return (
    isObject(value) &&
    typeof value['uuid'] === 'string' &&
    typeof value['name'] === 'string' &&
    isCount(value['blobId']) &&
    isCount(value['sizeClusters']) &&
    typeof value['isThin'] === 'boolean' &&
    typeof value['isReadOnly'] === 'boolean' &&
    typeof value['isSnapshot'] === 'boolean' &&
    isParentRecord(value['parent'])
  );
}

/** Undefined for a key that no extent has. */
export function extentKey(key: unknown): ExtentKey | undefined {
  if (!Array.isArray(key) || key.length !== 2) return undefined;
  const [blobId, index] = key as readonly unknown[];
  return isCount(blobId) && isCount(index) ? { blobId, index } : undefined;
}

/** Undefined for a value of another length than an extent's. */
export function extentEntries(value: Buffer): readonly number[] | undefined {
  if (value.length !== EXTENT_CLUSTERS * 4) return undefined;
  return Array.from({ length: EXTENT_CLUSTERS }, (_, at) => value.readUInt32LE(at * 4));
}

function isParentRecord(value: unknown): value is ParentRecord {
  if (!isObject(value)) return false;
  if (value['kind'] === 'none') return true;
  const kinds: readonly unknown[] = ['lvol', 'bdev'];
  return kinds.includes(value['kind']) && typeof value['uuid'] === 'string';
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
