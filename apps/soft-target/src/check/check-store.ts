import { LariatError } from '@lariat/kernel';
import { readBootId } from '../bdev/lvol/boot-id.js';
import { ClusterTable, UNALLOCATED } from '../bdev/lvol/cluster-table.js';
import { LvolMetadata, type EntryChange, type RawMetadata } from '../bdev/lvol/lvol-metadata.js';
import { auditStore, type CheckedDisk, type StoreAudit } from './audit-store.js';
import { isLeak, type Finding } from './finding.js';
import type { ReadMetadata } from './read-metadata.js';

export interface StoreCheck extends StoreAudit {
  /** Findings that were there before, and were repaired. */
  readonly repaired: readonly Finding[];
}

export interface StoreCheckOptions {
  readonly repair: boolean;
  readonly read: ReadMetadata;
}

/**
 * Checks one store of a target that does not run. Leaks are repaired if that is asked for and nothing else is wrong:
 * beside other damage, what looks leaked may be the only copy of what is missing.
 */
export async function checkStore(
  folder: string,
  uuid: string,
  disk: CheckedDisk | undefined,
  { repair, read }: StoreCheckOptions,
): Promise<StoreCheck> {
  const audit = await readAndAudit(folder, uuid, disk, read);
  const { findings } = audit;
  if (!repair || findings.length === 0 || !findings.every(isLeak)) {
    return { ...audit, repaired: [] };
  }
  await repairLeaks(folder);
  return { ...(await readAndAudit(folder, uuid, disk, read)), repaired: findings };
}

async function readAndAudit(
  folder: string,
  uuid: string,
  disk: CheckedDisk | undefined,
  read: ReadMetadata,
): Promise<StoreAudit> {
  let content: RawMetadata;
  try {
    content = await read(folder);
  } catch (error) {
    // That nobody is there to read it says nothing of the store.
    if (error instanceof LariatError && error.code === 'PROGRAM_NOT_BUILT') throw error;
    const message = `the metadata in ${folder} can't be read: ${(error as Error).message}`;
    const findings: readonly Finding[] = [{ kind: 'metadata-unreadable', message }];
    return { name: null, lvols: 0, usedClusters: 0, totalClusters: 0, findings };
  }
  return auditStore(uuid, content, disk);
}

async function repairLeaks(folder: string): Promise<void> {
  const metadata = new LvolMetadata(folder);
  try {
    await metadata.recover(readBootId());
    const lvols = metadata.readLvols();
    const tables = metadata.readTables();
    const held = new Set(lvols.map(({ blobId }) => blobId));
    const entries = lvols.flatMap(({ blobId, sizeClusters }) =>
      pastEnd(tables.get(blobId) ?? new ClusterTable(blobId), sizeClusters),
    );
    const removeTables = [...tables.values()].filter(({ blobId }) => !held.has(blobId));
    await metadata.commit({ entries, removeTables });
    await metadata.flushed();
  } finally {
    await metadata.close();
  }
}

function pastEnd(table: ClusterTable, sizeClusters: number): readonly EntryChange[] {
  return [...table.entries()]
    .filter(([cluster]) => cluster >= sizeClusters)
    .map(([cluster]) => ({ table, cluster, entry: UNALLOCATED }));
}
