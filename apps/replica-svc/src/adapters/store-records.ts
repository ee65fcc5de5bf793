import { BUCKETS, type DiskRecord, type StoreRecord, hasCode } from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import { RecordBucket } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';

const ACTOR = 'replica-svc';

/**
 * The lvol stores of this cluster, by disk id, with the node that had each last. They outlive the records of nodes: a
 * node that was installed anew, and a disk that was moved, are known by them.
 */
export class StoreRecords {
  private constructor(private readonly records: RecordBucket<StoreRecord>) {}

  static async open(connection: NatsConnection, clock: Clock): Promise<StoreRecords> {
    return new StoreRecords(
      await RecordBucket.open<StoreRecord>({
        ...{ connection, bucket: BUCKETS.stores, kind: 'disk', nowMs: () => clock.nowMs() },
      }),
    );
  }

  async find(disk: string): Promise<StoreRecord | undefined> {
    return (await this.records.read(disk))?.value;
  }

  /** As a node registers them; what is on record like that is not written again. */
  async keep(node: string, disks: readonly Pick<DiskRecord, 'id' | 'lvsUuid'>[]): Promise<void> {
    for (const { id, lvsUuid } of disks) {
      const wanted: StoreRecord = { disk: id, lvsUuid, node };
      const known = this.records.cached(id);
      if (known === undefined) await this.add(wanted);
      else if (known.value.node !== node || known.value.lvsUuid !== lvsUuid)
        await this.records.change(id, () => ({ value: wanted, events: [] }), ACTOR);
    }
  }

  private async add(record: StoreRecord): Promise<void> {
    try {
      await this.records.create(record.disk, record, [], ACTOR);
    } catch (error) {
      // Another instance was first; the next registration tells whether it wrote the same.
      if (!hasCode(error, 'REVISION_CONFLICT')) throw error;
    }
  }
}
