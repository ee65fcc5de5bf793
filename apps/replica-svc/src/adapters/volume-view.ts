import { BUCKETS, type VolumeRecord } from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import { type LariatClient, RecordBucket } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';

/** The volumes as replica-svc reads them; it writes none: changes go to volume-svc. */
export class VolumeView {
  private constructor(
    private readonly records: RecordBucket<VolumeRecord>,
    private readonly client: LariatClient,
  ) {}

  static async open(
    connection: NatsConnection,
    client: LariatClient,
    clock: Clock,
  ): Promise<VolumeView> {
    const records = await RecordBucket.open<VolumeRecord>({
      connection,
      bucket: BUCKETS.volumes,
      kind: 'volume',
      nowMs: () => clock.nowMs(),
    });
    return new VolumeView(records, client);
  }

  /** By name or id, as volume-svc has it. */
  find(reference: string): Promise<VolumeRecord> {
    return this.client.request('internal.volume.record', { volume: reference, fresh: false });
  }

  /** By id, as the cache last heard of it. */
  cached(id: string): VolumeRecord | undefined {
    return this.records.cached(id)?.value;
  }

  /** From JetStream; undefined when the volume is gone. */
  async fresh(id: string): Promise<VolumeRecord | undefined> {
    return (await this.records.read(id))?.value;
  }

  /** True when the volume is known to have been deleted; false when it is there, and when nothing is known of it. */
  wasRemoved(id: string): Promise<boolean> {
    return this.records.wasRemoved(id);
  }

  list(): readonly VolumeRecord[] {
    return Array.from(this.records.cachedEntries(), ([, { value }]) => value);
  }
}
