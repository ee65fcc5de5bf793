import { BUCKETS, type ImageRecord } from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import { RecordBucket } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';

/** The images as replica-svc reads them; it writes none. */
export class ImageRecords {
  private constructor(private readonly records: RecordBucket<ImageRecord>) {}

  static async open(connection: NatsConnection, clock: Clock): Promise<ImageRecords> {
    return new ImageRecords(
      await RecordBucket.open<ImageRecord>({
        ...{ connection, bucket: BUCKETS.images, kind: 'image', nowMs: () => clock.nowMs() },
      }),
    );
  }

  /** From JetStream; undefined when the image is gone. */
  async fresh(id: string): Promise<ImageRecord | undefined> {
    return (await this.records.read(id))?.value;
  }

  list(): readonly ImageRecord[] {
    return Array.from(this.records.cachedEntries(), ([, { value }]) => value);
  }
}
