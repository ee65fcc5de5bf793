import {
  BUCKETS,
  type OrphanEnd,
  type OrphanRecord,
  hasCode,
  lariatError,
} from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import { RecordBucket } from '@lariat/messaging';
import type { RecordSource } from '@lariat/read-model';
import type { NatsConnection } from '@nats-io/nats-core';
import { type FoundOrphan, orphanIdOf } from '../domain/orphans.js';

const ACTOR = 'replica-svc';

/** The orphans on record; replica-svc alone writes them. */
export class OrphanStore {
  private constructor(
    private readonly records: RecordBucket<OrphanRecord>,
    private readonly clock: Clock,
  ) {}

  static async open(connection: NatsConnection, clock: Clock): Promise<OrphanStore> {
    const records = await RecordBucket.open<OrphanRecord>({
      ...{ connection, bucket: BUCKETS.orphans, kind: 'orphan' },
      nowMs: () => clock.nowMs(),
    });
    return new OrphanStore(records, clock);
  }

  /** What lists of them are made of. */
  get source(): RecordSource<OrphanRecord> {
    return this.records;
  }

  list(): readonly OrphanRecord[] {
    return Array.from(this.records.cachedEntries(), ([, { value }]) => value).toSorted(
      (a, b) => a.node.localeCompare(b.node) || a.name.localeCompare(b.name),
    );
  }

  /** Called with the id of each orphan that is on record no more. */
  onEnd(listener: (id: string) => void): () => void {
    return this.records.listen((id, value) => {
      if (value === null) listener(id);
    });
  }

  async find(id: string): Promise<OrphanRecord> {
    const found = await this.records.read(id);
    if (found !== undefined) return found.value;
    throw lariatError(
      'ORPHAN_NOT_FOUND',
      `There is no orphan '${id}': it is gone, has an owner again, or never was. See 'lariat orphan list'.`,
      { orphan: id },
    );
  }

  /** Puts it on record, once; undefined: it is, or has just ended. */
  async add(found: FoundOrphan): Promise<OrphanRecord | undefined> {
    const foundAt = new Date(this.clock.nowMs()).toISOString();
    const record: OrphanRecord = { ...found, id: orphanIdOf(found), foundAt };
    const { node, kind, name, uuid, sizeBytes } = record;
    const event = { type: 'found', data: { node, kind, name, uuid, sizeBytes } };
    try {
      return (await this.records.create(record.id, record, [event], ACTOR)).value;
    } catch (error) {
      if (hasCode(error, 'REVISION_CONFLICT')) return undefined;
      throw error;
    }
  }

  /** What stands on it may change while it is on record. */
  async update(id: string, { beneath, allocatedBytes }: FoundOrphan): Promise<void> {
    await this.records.change(
      id,
      (orphan) => ({ value: { ...orphan, beneath, allocatedBytes }, events: [] }),
      ACTOR,
    );
  }

  /** Takes it from the record, with the event that says why; one that is not there has ended. */
  async end(id: string, end: OrphanEnd, reason: string, actor = ACTOR): Promise<void> {
    const found = await this.records.read(id);
    if (found === undefined) return;
    const { node, kind, name, uuid } = found.value;
    await this.records.remove(
      id,
      found,
      [{ type: end, data: { node, kind, name, uuid, reason } }],
      actor,
    );
  }
}
