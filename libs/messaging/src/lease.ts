import { setMaxListeners } from 'node:events';
import { BUCKETS } from '@lariat/contracts';
import { jetstream } from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';
import { type Log, type LogFields } from '@lariat/telemetry';
import { bucketReplicas } from './stream-replicas.js';

const RENEW_MS = 1_000;
/** A holder that has not renewed for this long, by the watcher's own clock, is taken over. */
const EXPIRY_MS = 3_000;

export interface LeaseOptions {
  readonly connection: NatsConnection;
  /** What the lease is for, e.g. `volume-svc`. */
  readonly name: string;
  readonly instance: string;
  readonly log: Log;
  /** Runs while the lease is held, until the signal aborts; must be safe to overlap for a moment with another. */
  readonly whileHeld: (signal: AbortSignal) => Promise<void>;
}

/**
 * Duties that one instance at a time should do (relaying events, reconciling). It saves double work; it does not
 * fence: what is done under it is safe by compare-and-set and idempotence.
 */
export class Lease {
  private readonly stopping = new AbortController();
  private held: AbortController | undefined;
  private duty: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;
  private ticking: Promise<void> = Promise.resolve();
  private seen: { revision: number; atMs: number } = { revision: 0, atMs: performance.now() };

  private constructor(
    private readonly options: LeaseOptions,
    private readonly kv: KV,
  ) {}

  static async start(options: LeaseOptions): Promise<Lease> {
    const kv = await new Kvm(jetstream(options.connection)).create(BUCKETS.leases, {
      history: 1,
      ...bucketReplicas(),
    });
    const lease = new Lease(options, kv);
    await lease.tick();
    return lease;
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    clearTimeout(this.timer);
    const wasHeld = this.held !== undefined;
    this.drop();
    // A renewal under way would put back what is deleted below.
    await Promise.all([this.duty, this.ticking]);
    if (wasHeld) {
      // The next holder need not wait for the expiry; if this fails it just does.
      await this.kv
        .delete(this.options.name)
        .catch((error: unknown) => this.note('lease not given back', { error }));
    }
  }

  private note(message: string, fields: LogFields = {}): void {
    this.options.log.info(message, { lease: this.options.name, ...fields });
  }

  private async tick(): Promise<void> {
    try {
      await this.tryHold();
    } catch (error) {
      // NATS is away or another instance was first; hold on to the duty only as long as others would let us.
      if (this.held !== undefined && performance.now() - this.seen.atMs > EXPIRY_MS) {
        this.note('lease lost', { error });
        this.drop();
      }
    }
    if (this.stopping.signal.aborted) return;
    this.timer = setTimeout(() => {
      this.ticking = this.tick();
    }, RENEW_MS);
  }

  private async tryHold(): Promise<void> {
    const entry = await this.kv.get(this.options.name);
    const free = entry === null || entry.operation !== 'PUT';
    const mine = !free && entry.string() === this.options.instance;
    if (!free && !mine) {
      if (this.held !== undefined) this.drop();
      if (entry.revision !== this.seen.revision)
        this.seen = { revision: entry.revision, atMs: performance.now() };
      if (performance.now() - this.seen.atMs < EXPIRY_MS) return;
    }
    const revision = free
      ? await this.kv.create(this.options.name, this.options.instance)
      : await this.kv.update(this.options.name, this.options.instance, entry.revision);
    this.seen = { revision, atMs: performance.now() };
    if (this.held === undefined && !this.stopping.signal.aborted) this.take();
  }

  private take(): void {
    const held = new AbortController();
    // Each duty listens to it for as long as it is held: that there are many is no leak.
    setMaxListeners(0, held.signal);
    this.held = held;
    this.note('lease held');
    this.duty = this.duty
      .then(() => this.options.whileHeld(held.signal))
      .catch((error: unknown) =>
        this.options.log.error('duty failed', { lease: this.options.name, error }),
      );
  }

  private drop(): void {
    this.held?.abort();
    this.held = undefined;
  }
}
