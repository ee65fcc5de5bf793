import { BUCKETS } from '@lariat/contracts';
import { bucketReplicas, isWrongLastSequence } from '@lariat/messaging';
import { jetstream } from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';

/** Which volume has a name: one KV key a name, made by compare-and-set, so that no two volumes share one. */
export class VolumeNames {
  private constructor(private readonly kv: KV) {}

  static async open(connection: NatsConnection): Promise<VolumeNames> {
    return new VolumeNames(
      await new Kvm(jetstream(connection)).create(BUCKETS.names, {
        history: 1,
        ...bucketReplicas(),
      }),
    );
  }

  async volumeOf(name: string): Promise<string | undefined> {
    const entry = await this.kv.get(keyOf(name));
    return entry === null || entry.operation !== 'PUT' ? undefined : entry.string();
  }

  /** The volume that has the name after the call: the given one, or whoever was first. */
  async reserve(name: string, volume: string): Promise<string> {
    try {
      await this.kv.create(keyOf(name), volume);
      return volume;
    } catch (error) {
      if (!isWrongLastSequence(error)) throw error;
      return (await this.volumeOf(name)) ?? this.reserve(name, volume);
    }
  }

  /** Gives the name back, if the volume has it. */
  async release(name: string, volume: string): Promise<void> {
    const entry = await this.kv.get(keyOf(name));
    if (entry === null || entry.operation !== 'PUT' || entry.string() !== volume) return;
    await this.kv.purge(keyOf(name), { previousSeq: entry.revision });
  }
}

const keyOf = (name: string): string => `volume.${name}`;
