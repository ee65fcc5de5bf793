import { BUCKETS } from '@lariat/contracts';
import { bucketReplicas } from '@lariat/messaging';
import { jetstream } from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';

/** Longer than any operation should take that can be cancelled. */
const KEPT_MS = 7 * 24 * 3_600_000;

/**
 * Operations that are to be undone, by request. Beside their records: those are written by the instance that runs them,
 * and by no other.
 */
export class CancelRequests {
  private readonly actors = new Map<string, string>();
  private readonly listeners = new Set<(operation: string) => void>();

  private constructor(private readonly kv: KV) {}

  static async open(connection: NatsConnection): Promise<CancelRequests> {
    const kvm = new Kvm(jetstream(connection));
    const requests = new CancelRequests(
      await kvm.create(BUCKETS.cancels, { history: 1, ttl: KEPT_MS, ...bucketReplicas() }),
    );
    const entries = await requests.kv.watch();
    void requests.follow(entries);
    return requests;
  }

  async ask(operation: string, actor: string): Promise<void> {
    await this.kv.put(operation, actor);
    this.note(operation, actor);
  }

  /** Who has asked for it; undefined: nobody has. */
  actorOf(operation: string): string | undefined {
    return this.actors.get(operation);
  }

  /** Of one that has ended. */
  forget(operation: string): void {
    this.actors.delete(operation);
  }

  listen(listener: (operation: string) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private note(operation: string, actor: string): void {
    this.actors.set(operation, actor);
    for (const listener of this.listeners) listener(operation);
  }

  private async follow(entries: Awaited<ReturnType<KV['watch']>>): Promise<void> {
    for await (const entry of entries)
      if (entry.operation === 'PUT') this.note(entry.key, entry.string());
  }
}
