import { jetstream } from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';
import { bucketReplicas } from './stream-replicas.js';

/** A node that is away for longer finds its replicas of a deleted volume left to it; a recovery lists them. */
export const DELETED_KEEP_MS = 90 * 24 * 3_600_000;

/** Marks that something has happened to an id, once and for all; each is kept for as long as the bucket keeps them. */
export class MarkBucket {
  private constructor(private readonly kv: KV) {}

  /** Makes the bucket when it is missing. */
  static async open(
    connection: NatsConnection,
    bucket: string,
    keepMs: number,
  ): Promise<MarkBucket> {
    const kvm = new Kvm(jetstream(connection));
    return new MarkBucket(
      await kvm.create(bucket, { history: 1, ttl: keepMs, ...bucketReplicas() }),
    );
  }

  /** Marking again does nothing more. */
  async add(id: string): Promise<void> {
    await this.kv.put(id, '');
  }

  /** From JetStream itself. */
  async has(id: string): Promise<boolean> {
    const entry = await this.kv.get(id);
    return entry !== null && entry.operation === 'PUT';
  }
}
