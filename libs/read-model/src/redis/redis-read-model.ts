import { createHash, randomBytes } from 'node:crypto';
import { type Clock, delay, toLariatError } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import type { ListForm } from '../list-form.js';
import type { FacetCounts, Page, PageQuery } from '../read-model.port.js';
import type { SharedReadModel } from '../record-list.js';
import type { RecordSource } from '../record-source.js';
import { type StoredChange, changeOf, changesOf } from './changes.js';
import { RecentEntries } from './recent-entries.js';
import type { ScriptStore } from './script-store.port.js';
import {
  APPLY,
  BEGIN,
  COUNTS,
  DISCARD,
  LOAD,
  PAGE,
  STATUS,
  SWITCH,
  type Script,
} from './scripts.js';

export interface RedisReadModelOptions<T> {
  readonly source: RecordSource<T>;
  readonly form: ListForm<T>;
  readonly store: ScriptStore;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Log;
  /** What a caller waits for Redis before memory answers him. */
  readonly readDeadlineMs?: number;
  /** Between two tries to have it right in Redis. */
  readonly retryMs?: number;
}

/** A read of memory takes less; but then Redis is not asked again until it has answered the feed. */
const READ_DEADLINE_MS = 250;
const WRITE_DEADLINE_MS = 5_000;
/** How long a list that is being made anew is nobody else's to make when its maker is not heard of. */
const BUILD_LEASE_MS = 10_000;
const RETRY_MS = 200;
const BATCH = 256;

type Answer = readonly [string, ...unknown[]];

/** Thrown when what Redis has is not what was left there; it is looked at anew. */
class Detached extends Error {
  override readonly name = 'Detached';
}

/**
 * A list in Redis, fed by each process that has the bucket's stream, in the order of the stream: Redis notes up to which number
 * it has everything, takes nothing twice and nothing with a gap before it. Whatever is doubtful is made anew from the records
 * that this process has, and callers are answered from memory until then.
 */
export class RedisReadModel<T> implements SharedReadModel {
  private readonly recent: RecentEntries<T>;
  private readonly unfollow: () => void;
  private readonly feeding: Promise<void>;
  private readonly stopping = new AbortController();
  private readonly suspects = new Set<string>();
  /** The list's name in Redis while it is known to be right there. */
  private attachedTo: string | undefined;
  private detachedAtMs: number;
  private applied = 0;
  private rebuilds = 0;
  private wake: () => void = () => undefined;

  constructor(private readonly options: RedisReadModelOptions<T>) {
    const { source, clock } = options;
    this.recent = new RecentEntries(source.position);
    this.detachedAtMs = clock.monotonicMs();
    this.unfollow = source.followInOrder((entry) => {
      this.recent.add({ ...entry, heardAtMs: clock.monotonicMs() });
      this.wake();
    });
    this.feeding = this.keepFed();
  }

  async page(query: PageQuery, atLeast: number): Promise<Page | undefined> {
    const { order, descending, facets, after, limit, maxBytes } = query;
    const answer = await this.read(PAGE, [
      ...[atLeast, order, descending ? 1 : 0, after ?? ''],
      ...[limit ?? Number.MAX_SAFE_INTEGER, maxBytes, JSON.stringify(facets)],
    ]);
    if (answer?.[0] !== 'page') return undefined;
    const [, total, last, items] = answer as readonly ['page', number, string, string[]];
    return { items, total, last: last === '' ? null : last };
  }

  async counts(facetName: string, atLeast: number): Promise<FacetCounts | undefined> {
    const answer = await this.read(COUNTS, [atLeast, this.options.form.orders[0], facetName]);
    if (answer?.[0] !== 'counts') return undefined;
    const found = answer[1] as readonly (string | number)[];
    const pairs = found.flatMap((value, index) =>
      index % 2 === 0 ? [[String(value), Number(found[index + 1])] as const] : [],
    );
    return Object.fromEntries(pairs);
  }

  numbers(): { readonly lagMs: number; readonly rebuilds: number } {
    const nowMs = this.options.clock.monotonicMs();
    const [oldest] = this.recent.after(this.applied, 1);
    const sinceMs =
      this.attachedTo === undefined ? this.detachedAtMs : (oldest?.heardAtMs ?? nowMs);
    return { lagMs: Math.max(0, Math.round(nowMs - sinceMs)), rebuilds: this.rebuilds };
  }

  /** What Redis has is compared with the stream again, e.g. since that may be another one by now. */
  doubt(): void {
    this.detach();
    this.wake();
  }

  async close(): Promise<void> {
    this.unfollow();
    this.stopping.abort();
    this.wake();
    await this.feeding;
  }

  private async read(
    script: Script,
    args: readonly (string | number)[],
  ): Promise<Answer | undefined> {
    const { store, readDeadlineMs = READ_DEADLINE_MS } = this.options;
    const key = this.attachedTo;
    if (key === undefined) return undefined;
    try {
      const answer = (await store.run(script, {
        ...{ key, args, deadlineMs: readDeadlineMs },
      })) as Answer;
      this.look(answer);
      return answer;
    } catch (error) {
      this.lose(error);
      return undefined;
    }
  }

  /** Throws when an answer says that the list is not what was left there. */
  private look([verdict, generation]: Answer): void {
    if (verdict === 'torn') this.suspects.add(String(generation));
    if (verdict === 'torn' || verdict === 'absent' || verdict === 'gap')
      throw new Detached(`the list is ${verdict}`);
  }

  private lose(error: unknown): void {
    const { log, form } = this.options;
    if (this.attachedTo !== undefined)
      log.info('list is served from memory', {
        list: form.name,
        reason: toLariatError(error).message,
      });
    this.detach();
    this.wake();
  }

  private detach(): void {
    if (this.attachedTo === undefined) return;
    this.attachedTo = undefined;
    this.detachedAtMs = this.options.clock.monotonicMs();
  }

  private async keepFed(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      const woken = new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      try {
        if (this.attachedTo === undefined) await this.attach();
        const key = this.attachedTo;
        if (key !== undefined) {
          await this.feed(key);
          if (this.attachedTo !== undefined) await woken;
          continue;
        }
      } catch (error) {
        this.lose(error);
      }
      await delay(this.options.retryMs ?? RETRY_MS, signal);
    }
  }

  /** The same for all processes that follow the same stream, and of no other stream. */
  private async listKey(): Promise<string> {
    const { source, form } = this.options;
    const { created } = await source.end();
    const stream = createHash('sha256').update(created).digest('hex').slice(0, 16);
    return `{lariat:${stream}:${form.name}:v${form.version}}`;
  }

  private async attach(): Promise<void> {
    const key = await this.listKey();
    const status = (await this.write(STATUS, key, [])) as readonly [string, number, string] | null;
    if (status !== null) {
      const [generation, position, storedAtMs] = status;
      const isRight = await this.isOfThisStream(position, Number(storedAtMs));
      if (!isRight || this.suspects.has(generation)) {
        await this.write(DISCARD, key, [generation]);
        this.suspects.delete(generation);
      } else if (position >= this.recent.floor) {
        this.applied = position;
        this.attachedTo = key;
        return;
      }
    }
    await this.rebuild(key);
  }

  /** A stream that was put back from a backup counts on with other messages. */
  private async isOfThisStream(position: number, storedAtMs: number): Promise<boolean> {
    if (position === 0) return true;
    return (await this.options.source.storedAt(position)) === storedAtMs;
  }

  private async rebuild(key: string): Promise<void> {
    const { source, form, log } = this.options;
    const token = randomBytes(8).toString('hex');
    if ((await this.write(BEGIN, key, [token, BUILD_LEASE_MS])) !== 1) return;
    const { position } = source;
    const records = [...source.cachedEntries()];
    for (let at = 0; at < records.length; at += BATCH) {
      const changes = records
        .slice(at, at + BATCH)
        .map(([id, { value, revision }]) => changeOf(form, id, revision, value));
      const args = [token, BUILD_LEASE_MS, encode(changes)];
      if ((await this.write(LOAD, key, args)) !== 1) return;
    }
    const storedAtMs = (await source.storedAt(position)) ?? 0;
    if ((await this.write(SWITCH, key, [token, position, storedAtMs])) !== 1) return;
    this.rebuilds += 1;
    log.info('list was made anew in redis', { list: form.name, records: records.length, position });
    const status = (await this.write(STATUS, key, [])) as readonly [string, number] | null;
    // Another's that has come further counts in the place of this one.
    if (status === null || status[1] < position) return;
    this.applied = status[1];
    this.attachedTo = key;
  }

  private async feed(key: string): Promise<void> {
    for (;;) {
      if (this.recent.floor > this.applied) throw new Detached('too much has changed meanwhile');
      const entries = this.recent.after(this.applied, BATCH);
      const newest = entries.at(-1);
      if (newest === undefined || this.attachedTo !== key) return;
      const changes = changesOf(this.options.form, entries);
      const args = [this.applied, newest.revision, newest.storedAtMs, encode(changes)];
      const answer = (await this.write(APPLY, key, args)) as Answer;
      this.look(answer);
      this.applied = Math.max(newest.revision, Number(answer[1]));
    }
  }

  private write(script: Script, key: string, args: readonly (string | number)[]): Promise<unknown> {
    return this.options.store.run(script, { key, args, deadlineMs: WRITE_DEADLINE_MS });
  }
}

const encode = (changes: readonly StoredChange[]): string => JSON.stringify(changes);
