import { BUCKETS } from '@lariat/contracts';
import { bucketReplicas, isWrongLastSequence } from '@lariat/messaging';
import { jetstream } from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';

/** Which image has a name: one KV key a name, changed by compare-and-set, so that no two images share one. */
export class ImageNames {
  private constructor(private readonly kv: KV) {}

  static async open(connection: NatsConnection): Promise<ImageNames> {
    const kvm = new Kvm(jetstream(connection));
    return new ImageNames(
      await kvm.create(BUCKETS.imageNames, { history: 1, ...bucketReplicas() }),
    );
  }

  async imageOf(name: string): Promise<string | undefined> {
    const entry = await this.kv.get(name);
    return entry === null || entry.operation !== 'PUT' ? undefined : entry.string();
  }

  /** The image that has the name after the call: the given one, or whoever was first. */
  async reserve(name: string, image: string): Promise<string> {
    try {
      await this.kv.create(name, image);
      return image;
    } catch (error) {
      if (!isWrongLastSequence(error)) throw error;
      return (await this.imageOf(name)) ?? this.reserve(name, image);
    }
  }

  /** Gives the name back, if the image has it. */
  async release(name: string, image: string): Promise<void> {
    const entry = await this.kv.get(name);
    if (entry === null || entry.operation !== 'PUT' || entry.string() !== image) return;
    await this.kv.purge(name, { previousSeq: entry.revision });
  }
}
