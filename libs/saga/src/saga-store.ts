import { BUCKETS, isEnded } from '@lariat/contracts';
import { type Clock, delay, toLariatError } from '@lariat/kernel';
import { type NewEvent, RecordBucket, type Versioned } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';
import type { SagaRecord } from './saga-record.js';
import { type ClaimantState, SubjectClaims } from './subject-claims.js';

/** Thrown when the saga is another instance's by now, or will be: stop at once, without a word. */
export class FenceLost extends Error {
  override readonly name = 'FenceLost';
}

const RETRY_WRITE_MS = 250;

/** The journal of all sagas: the bucket of operations. */
export class SagaStore {
  private readonly active = new Set<string>();

  private constructor(
    private readonly connection: NatsConnection,
    private readonly bucket: RecordBucket<SagaRecord>,
    private readonly claims: SubjectClaims,
  ) {
    const track = (key: string, record: SagaRecord | null): void => {
      if (record === null || isEnded(record.state)) this.active.delete(key);
      else this.active.add(key);
    };
    for (const [key, { value }] of bucket.cachedEntries()) track(key, value);
    bucket.listen(track);
  }

  static async open(connection: NatsConnection, clock: Clock): Promise<SagaStore> {
    const nowMs = (): number => clock.nowMs();
    return new SagaStore(
      connection,
      await RecordBucket.open<SagaRecord>({
        connection,
        bucket: BUCKETS.operations,
        kind: 'operation',
        nowMs,
      }),
      await SubjectClaims.open(connection, clock),
    );
  }

  /** The operation that has the record's subject: the record's own, or another that runs already, on any instance. */
  async claim(record: SagaRecord): Promise<string> {
    // Of one that was begun before there were claims, or runs for longer than they are kept, there is none.
    for (const { value } of this.running()) {
      if (value.subject !== record.subject || value.id === record.id) continue;
      if ((await this.stateOf(value.id)) === 'running') return value.id;
    }
    return this.claims.claim(record.subject, record.id, (operation) => this.stateOf(operation));
  }

  /** As it is stored now: what is in the cache may have ended since. Only an end is for good. */
  private async stateOf(operation: string): Promise<ClaimantState> {
    const cached = this.bucket.cached(operation);
    if (cached !== undefined && isEnded(cached.value.state)) return 'ended';
    const found = await this.bucket.read(operation);
    if (found === undefined) return 'unknown';
    return isEnded(found.value.state) ? 'ended' : 'running';
  }

  /** What lists of them are made of. */
  get source(): RecordBucket<SagaRecord> {
    return this.bucket;
  }

  cached(id: string): Versioned<SagaRecord> | undefined {
    return this.bucket.cached(id);
  }

  async find(id: string): Promise<Versioned<SagaRecord> | undefined> {
    return this.bucket.cached(id) ?? (await this.bucket.read(id));
  }

  *all(): IterableIterator<SagaRecord> {
    for (const [, { value }] of this.bucket.cachedEntries()) yield value;
  }

  /** Those that have not ended. */
  *running(): IterableIterator<Versioned<SagaRecord>> {
    for (const id of this.active) {
      const versioned = this.bucket.cached(id);
      if (versioned !== undefined) yield versioned;
    }
  }

  listen(listener: (id: string, record: SagaRecord | null) => void): () => void {
    return this.bucket.listen(listener);
  }

  create(record: SagaRecord): Promise<Versioned<SagaRecord>> {
    return this.bucket.create(record.id, record, eventsBetween(undefined, record), record.actor);
  }

  /**
   * Writes the next revision. While NATS is away it waits, since going on without the journal is not an option;
   * rejects with FenceLost when the record belongs to somebody else by now.
   */
  async write(previous: Versioned<SagaRecord>, next: SagaRecord): Promise<Versioned<SagaRecord>> {
    for (;;) {
      try {
        return await this.bucket.update(
          next.id,
          previous,
          next,
          eventsBetween(previous.value, next),
          next.actor,
        );
      } catch (reason) {
        const { kind } = toLariatError(reason);
        if (kind !== 'conflict' && kind !== 'unavailable' && kind !== 'timeout') throw reason;
        const found = await this.readWhenPossible(next.id);
        // A write whose confirmation was lost may have been stored.
        if (found !== undefined && JSON.stringify(found.value) === JSON.stringify(next))
          return found;
        if (found?.revision !== previous.revision)
          throw new FenceLost(`operation ${next.id} was taken over`);
      }
    }
  }

  /** Forgets ended operations; used to bound the bucket. */
  async forget(record: Versioned<SagaRecord>): Promise<void> {
    await this.bucket.remove(record.value.id, record, [], record.value.actor);
  }

  private async readWhenPossible(id: string): Promise<Versioned<SagaRecord> | undefined> {
    for (;;) {
      try {
        return await this.bucket.read(id);
      } catch {
        if (this.connection.isClosed()) throw new FenceLost('this instance has left NATS');
        // NATS is away; the connection reconnects by itself.
        await delay(RETRY_WRITE_MS);
      }
    }
  }
}

/** Beginning and end are told; steps in between are in operation.get. */
function eventsBetween(before: SagaRecord | undefined, after: SagaRecord): readonly NewEvent[] {
  const data = { operation: after.kind, subject: after.subject, traceId: after.traceId };
  if (before === undefined) return [{ type: 'started', data }];
  if (before.state === after.state) return [];
  if (after.state === 'succeeded') return [{ type: 'succeeded', data }];
  return [
    {
      type: after.state,
      data: { ...data, code: after.error?.code ?? null, message: after.error?.message ?? null },
    },
  ];
}
