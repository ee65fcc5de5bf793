import { type LariatEvent, lariatError } from '@lariat/contracts';
import { KeyedQueue, toLariatError } from '@lariat/kernel';
import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { type KV, type KvEntry, Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';
import { isWrongLastSequence } from './compare-and-set.js';
import { encodeJson } from './json.js';
import { isNatsAway } from './nats-away.js';
import { bucketReplicas } from './stream-replicas.js';

/** A record with the revision that the next write must name. */
export interface Versioned<T> {
  readonly value: T;
  /** JetStream sequence of the entry; compare-and-set is on it. */
  readonly revision: number;
  /** Number of events that the object has had. */
  readonly sequence: number;
}

/** An event to be stored with a change; id, number and time are added by the bucket. */
export type NewEvent = Pick<LariatEvent, 'type' | 'data'>;

/**
 * What is stored: the state and the events of the change that led to it, one JetStream message (invariant 6).
 * A null value is a tombstone: the object is gone, its last events are still to be told.
 */
export interface StoredRecord<T> {
  readonly value: T | null;
  readonly sequence: number;
  readonly events: readonly LariatEvent[];
}

export interface RecordBucketOptions {
  readonly connection: NatsConnection;
  readonly bucket: string;
  readonly kind: LariatEvent['kind'];
  readonly nowMs: () => number;
}

/**
 * Revisions of one key that are kept until the relay has told their events. The relay runs in the service
 * that writes the bucket, so it can't be down while the bucket is written for long.
 */
const HISTORY = 64;
/** How often a change is computed anew on a fresh record before the caller is told of the conflict. */
const MAX_CHANGE_ATTEMPTS = 20;
const END_DEADLINE_MS = 1_000;

export type RecordListener<T> = (key: string, value: T | null) => void;

/** One message of the bucket's stream. */
export interface RecordEntry<T> {
  readonly key: string;
  /** Null: the record is gone. Undefined: it can't be read. */
  readonly value: T | null | undefined;
  /** Its number in the stream. */
  readonly revision: number;
  readonly storedAtMs: number;
}

/** Which stream the numbers are of, and how far it has come. */
export interface StreamEnd {
  /** When the stream was made: one that was lost and made anew counts from 1 again. */
  readonly created: string;
  readonly lastSequence: number;
}

/** Decides a change: the new value and its events; `undefined` when there is nothing to change. */
export type Change<T> = (
  value: T,
) => { readonly value: T; readonly events: readonly NewEvent[] } | undefined;

/**
 * Records of one kind in a JetStream KV bucket: compare-and-set always, events stored with the state, reads
 * from a cache that a watch keeps up to date.
 */
export class RecordBucket<T> {
  private readonly cache = new Map<string, Versioned<T>>();
  /** Revisions of tombstones, so that a late watch entry can't bring a removed record back. */
  private readonly removed = new Map<string, number>();
  private readonly listeners = new Set<RecordListener<T>>();
  private readonly followers = new Set<(entry: RecordEntry<T>) => void>();
  private readonly awaited = new Set<() => void>();
  private readonly queue = new KeyedQueue();
  private seen = 0;

  private constructor(
    private readonly options: RecordBucketOptions,
    private readonly kv: KV,
    private readonly manager: JetStreamManager,
  ) {}

  /** Makes the bucket when it is missing and fills the cache. */
  static async open<T>(options: RecordBucketOptions): Promise<RecordBucket<T>> {
    const kv = await new Kvm(jetstream(options.connection)).create(options.bucket, {
      history: HISTORY,
      ...bucketReplicas(),
    });
    const settings = { checkAPI: false, timeout: END_DEADLINE_MS };
    const manager = await jetstreamManager(options.connection, settings);
    const records = new RecordBucket<T>(options, kv, manager);
    await records.follow();
    return records;
  }

  /** From the cache: as of the last entry that the watch delivered, and all own writes. */
  cached(key: string): Versioned<T> | undefined {
    return this.cache.get(key);
  }

  cachedEntries(): IterableIterator<[string, Versioned<T>]> {
    return this.cache.entries();
  }

  get size(): number {
    return this.cache.size;
  }

  listen(listener: RecordListener<T>): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Called for each message of the stream, in the order of their numbers, when the cache has it. */
  followInOrder(follower: (entry: RecordEntry<T>) => void): () => void {
    this.followers.add(follower);
    return () => this.followers.delete(follower);
  }

  /** Up to which number of the stream the cache has everything. */
  get position(): number {
    return this.seen;
  }

  async end(): Promise<StreamEnd> {
    const { created, state } = await this.manager.streams.info(`KV_${this.options.bucket}`);
    // What was purged is not delivered any more.
    if (state.messages === 0) this.seen = Math.max(this.seen, state.last_seq);
    return { created, lastSequence: state.last_seq };
  }

  /** When what is stored at the number was stored; undefined when there is nothing any more. */
  async storedAt(sequence: number): Promise<number | undefined> {
    const stream = `KV_${this.options.bucket}`;
    const stored = await this.manager.streams.getMessage(stream, { seq: sequence });
    return stored === null ? undefined : new Date(stored.timestamp).getTime();
  }

  /**
   * Waits until the cache has all that was stored, by whomever, before the call. False: not within the time, or JetStream
   * does not tell.
   */
  async caughtUp(limitMs: number): Promise<boolean> {
    const end = await this.end().catch(() => undefined);
    if (end === undefined || this.seen >= end.lastSequence) return end !== undefined;
    return new Promise((resolve) => {
      const settle = (reached: boolean): void => {
        clearTimeout(timer);
        this.awaited.delete(look);
        resolve(reached);
      };
      const look = (): void => {
        if (this.seen >= end.lastSequence) settle(true);
      };
      const timer = setTimeout(settle, limitMs, false);
      this.awaited.add(look);
    });
  }

  /** From JetStream itself. */
  async read(key: string): Promise<Versioned<T> | undefined> {
    const entry = await this.kv.get(key);
    if (entry === null || entry.operation !== 'PUT') return undefined;
    const stored = this.parse(key, entry);
    if (stored.value === null) return undefined;
    const versioned = { value: stored.value, revision: entry.revision, sequence: stored.sequence };
    this.remember(key, versioned);
    return versioned;
  }

  /**
   * All that there are, from JetStream itself: of what was written before, by whomever, nothing is missing. One that can't be
   * read is RECORD_CORRUPT.
   */
  async readAll(): Promise<ReadonlyMap<string, Versioned<T>>> {
    const found = new Map<string, Versioned<T>>();
    // The first pass of a watch is the newest revision of each key, up to now.
    const entries = await this.kv.watch();
    try {
      if ((await this.kv.status()).values === 0) return found;
      for await (const entry of entries) {
        const { key, revision } = entry;
        const stored = entry.operation === 'PUT' ? this.parse(key, entry) : undefined;
        if (stored?.value == null) found.delete(key);
        else found.set(key, { value: stored.value, revision, sequence: stored.sequence });
        if (entry.delta === 0) return found;
      }
      throw lariatError('NATS_UNAVAILABLE', `${this.options.bucket} was not read to its end.`);
    } finally {
      entries.stop();
    }
  }

  /** Rejects with REVISION_CONFLICT when the key is there already. */
  async create(
    key: string,
    value: T,
    events: readonly NewEvent[],
    actor: string,
  ): Promise<Versioned<T>> {
    const stored = this.toStored(key, value, 0, events, actor);
    const revision = await this.guard(key, () => this.kv.create(key, encodeJson(stored)));
    return this.remember(key, { value, revision, sequence: stored.sequence });
  }

  /** Rejects with REVISION_CONFLICT when somebody else has changed the record since `previous`. */
  async update(
    key: string,
    previous: Versioned<T>,
    value: T,
    events: readonly NewEvent[],
    actor: string,
  ): Promise<Versioned<T>> {
    const stored = this.toStored(key, value, previous.sequence, events, actor);
    const revision = await this.guard(key, () =>
      this.kv.update(key, encodeJson(stored), previous.revision),
    );
    return this.remember(key, { value, revision, sequence: stored.sequence });
  }

  /** Leaves a tombstone with the last events; the relay takes it away when it has told them. */
  async remove(
    key: string,
    previous: Versioned<T>,
    events: readonly NewEvent[],
    actor: string,
  ): Promise<void> {
    const stored = this.toStored(key, null, previous.sequence, events, actor);
    const revision = await this.guard(key, () =>
      this.kv.update(key, encodeJson(stored), previous.revision),
    );
    this.forget(key, revision);
  }

  /**
   * Changes a record by compare-and-set, deciding anew on the fresh record after a lost race. Undefined when the
   * record is not there.
   */
  change(key: string, decide: Change<T>, actor: string): Promise<Versioned<T> | undefined> {
    // In-process writers of one record wait for each other instead of racing.
    return this.queue.run(key, async () => {
      let current = this.cache.get(key) ?? (await this.read(key));
      for (let attempt = 1; ; attempt += 1) {
        if (current === undefined) return undefined;
        const decision = decide(current.value);
        if (decision === undefined) return current;
        try {
          return await this.update(key, current, decision.value, decision.events, actor);
        } catch (error) {
          if (toLariatError(error).code !== 'REVISION_CONFLICT' || attempt >= MAX_CHANGE_ATTEMPTS)
            throw error;
          current = await this.read(key);
        }
      }
    });
  }

  private async guard(key: string, write: () => Promise<number>): Promise<number> {
    try {
      return await write();
    } catch (cause) {
      if (isWrongLastSequence(cause)) {
        throw lariatError(
          'REVISION_CONFLICT',
          `${this.options.bucket}/${key} was changed by somebody else at the same moment; try again.`,
          { bucket: this.options.bucket, key },
          cause,
        );
      }
      if (isNatsAway(cause)) {
        throw lariatError(
          'NATS_UNAVAILABLE',
          `JetStream did not confirm a write of ${this.options.bucket}/${key}; whether it was stored is not known.`,
          { bucket: this.options.bucket, key },
          cause,
        );
      }
      throw cause;
    }
  }

  private toStored(
    key: string,
    value: T | null,
    before: number,
    events: readonly NewEvent[],
    actor: string,
  ): StoredRecord<T> {
    const at = new Date(this.options.nowMs()).toISOString();
    return {
      value,
      sequence: before + events.length,
      events: events.map((event, index) => {
        const sequence = before + index + 1;
        const { kind } = this.options;
        return {
          id: `${kind}.${key}.${sequence}`,
          kind,
          objectId: key,
          sequence,
          at,
          actor,
          ...event,
        };
      }),
    };
  }

  private parse(key: string, entry: KvEntry): StoredRecord<T> {
    try {
      return entry.json<StoredRecord<T>>();
    } catch (cause) {
      throw lariatError(
        'RECORD_CORRUPT',
        `${this.options.bucket}/${key} revision ${entry.revision} is not a record of Lariat. Restore it or remove it by hand.`,
        { bucket: this.options.bucket, key },
        cause,
      );
    }
  }

  private remember(key: string, versioned: Versioned<T>): Versioned<T> {
    const known = Math.max(this.cache.get(key)?.revision ?? 0, this.removed.get(key) ?? 0);
    if (versioned.revision > known) {
      this.cache.set(key, versioned);
      this.removed.delete(key);
      for (const listener of this.listeners) listener(key, versioned.value);
    }
    return versioned;
  }

  private forget(key: string, revision: number): void {
    if (revision <= (this.cache.get(key)?.revision ?? 0)) return;
    this.removed.set(key, revision);
    if (this.cache.delete(key)) for (const listener of this.listeners) listener(key, null);
  }

  private async follow(): Promise<void> {
    const entries = await this.kv.watch();
    const empty = (await this.kv.status()).values === 0;
    await new Promise<void>((resolve) => {
      if (empty) resolve();
      void this.apply(entries, resolve);
    });
  }

  private async apply(entries: AsyncIterable<KvEntry>, filled: () => void): Promise<void> {
    for await (const entry of entries) {
      const { key, revision, created } = entry;
      const isPut = entry.operation === 'PUT';
      const value = isPut ? this.follows(entry) : null;
      if (!isPut) {
        this.forget(key, revision);
        this.removed.delete(key);
      }
      this.seen = revision;
      for (const follower of this.followers)
        follower({ key, value, revision, storedAtMs: created.getTime() });
      for (const look of this.awaited) look();
      if (entry.delta === 0) filled();
    }
  }

  private follows(entry: KvEntry): T | null | undefined {
    let stored: StoredRecord<T>;
    try {
      stored = this.parse(entry.key, entry);
    } catch {
      // One corrupt record must not keep the others from being served; `read` of it says RECORD_CORRUPT.
      return undefined;
    }
    const { value, sequence } = stored;
    if (value === null) this.forget(entry.key, entry.revision);
    else this.remember(entry.key, { value, revision: entry.revision, sequence });
    return value;
  }
}
