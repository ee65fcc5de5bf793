import type { AllocationRecord, NodeRecord } from '@lariat/contracts';
import type { RecordBucket, Versioned } from '@lariat/messaging';
import { withoutPromises } from '../domain/promises.js';

export const ACTOR = 'replica-svc';

/** The part of a record bucket that allocation needs: compare-and-set on one record a disk. */
export type AllocationRecords = Pick<
  RecordBucket<AllocationRecord>,
  'cachedEntries' | 'cached' | 'read' | 'create' | 'update' | 'change' | 'listen'
>;

/** What the allocator asks of the nodes' records. */
export interface NodeList {
  list(): readonly NodeRecord[];
}

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

export async function changeAllocation(
  records: Pick<AllocationRecords, 'change'>,
  disk: string,
  change: (record: AllocationRecord) => AllocationRecord,
): Promise<void> {
  await records.change(
    disk,
    (record) => {
      const value = change(record);
      return value === record ? undefined : { value, events: [] };
    },
    ACTOR,
  );
}

/** All disks, from JetStream itself. */
export async function refreshAllocations(
  records: Pick<AllocationRecords, 'read'>,
  nodes: NodeList,
): Promise<void> {
  const disks = nodes.list().flatMap((node) => node.disks.map(({ id }) => id));
  await Promise.all(disks.map((disk) => records.read(disk)));
}

/** Takes promises back, wherever they are; `isMine` is given the token of the lease, undefined where there is none. */
export async function takeBack(
  records: Pick<AllocationRecords, 'change'>,
  index: AllocationIndex,
  replicas: readonly string[],
  isMine: (token: string | undefined) => boolean,
): Promise<void> {
  const disks = new Set(replicas.flatMap((replica) => index.disksOf(replica)));
  await Promise.all(
    Array.from(disks, (disk) =>
      changeAllocation(records, disk, (record) =>
        withoutPromises(record, replicas, (lease) => isMine(lease?.token)),
      ),
    ),
  );
}
