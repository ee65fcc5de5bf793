import type { AllocationRecord } from '@lariat/contracts';
import type { RecordBucket, Versioned } from '@lariat/messaging';

/** The part of a record bucket that allocation needs: compare-and-set on one record a disk. */
export type AllocationRecords = Pick<
  RecordBucket<AllocationRecord>,
  'cachedEntries' | 'cached' | 'read' | 'create' | 'update' | 'change' | 'listen'
>;

/** Which disks a replica is promised on; kept up to date from the records. */
export class AllocationIndex {
  private readonly byDisk = new Map<string, AllocationRecord>();
  private readonly disksByReplica = new Map<string, Set<string>>();

  constructor(private readonly records: AllocationRecords) {
    for (const [disk, { value }] of records.cachedEntries()) this.index(disk, value);
    records.listen((disk, record) => this.index(disk, record));
  }

  versionOf(disk: string): Versioned<AllocationRecord> | undefined {
    return this.records.cached(disk);
  }

  recordOf(disk: string): AllocationRecord | undefined {
    return this.byDisk.get(disk);
  }

  list(): readonly AllocationRecord[] {
    return [...this.byDisk.values()];
  }

  /** More than one only when two requests for the same replica raced: the lease of the loser ends. */
  disksOf(replica: string): readonly string[] {
    return [...(this.disksByReplica.get(replica) ?? [])];
  }

  private index(disk: string, record: AllocationRecord | null): void {
    for (const replica of Object.keys(this.byDisk.get(disk)?.replicas ?? {})) {
      if (record?.replicas[replica] !== undefined) continue;
      const disks = this.disksByReplica.get(replica);
      disks?.delete(disk);
      if (disks?.size === 0) this.disksByReplica.delete(replica);
    }
    if (record === null) {
      this.byDisk.delete(disk);
      return;
    }
    this.byDisk.set(disk, record);
    for (const replica of Object.keys(record.replicas)) {
      const disks = this.disksByReplica.get(replica) ?? new Set();
      this.disksByReplica.set(replica, disks.add(disk));
    }
  }
}
