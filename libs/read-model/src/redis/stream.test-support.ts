import type { RecordEntry, Versioned } from '@lariat/messaging';
import type { ItemRecord } from '../list.test-support.js';
import type { RecordSource } from '../record-source.js';

type Entry = RecordEntry<ItemRecord>;

/** A bucket's stream, as JetStream has it. */
export class TestStream {
  entries: Entry[] = [];

  constructor(readonly created: string) {}

  get end(): number {
    return this.entries.length;
  }

  get records(): ReadonlyMap<string, ItemRecord> {
    const found = new Map<string, ItemRecord>();
    for (const { key, value } of this.entries) {
      if (value == null) found.delete(key);
      else found.set(key, value);
    }
    return found;
  }

  write(key: string, value: ItemRecord | null, storedAtMs = this.end + 1): void {
    this.entries.push({ key, value, revision: this.end + 1, storedAtMs });
  }

  /** A process that has read it up to its end. */
  reader(): TestReader {
    return new TestReader(this);
  }
}

/** What one process has read of a stream. */
export class TestReader implements RecordSource<ItemRecord> {
  private readonly cache = new Map<string, Versioned<ItemRecord>>();
  private readonly followers = new Set<(entry: Entry) => void>();
  private seen = 0;

  constructor(private readonly stream: TestStream) {
    this.readOn();
  }

  get position(): number {
    return this.seen;
  }

  /** Reads what has come since, or a part of it. */
  readOn(most = Number.MAX_SAFE_INTEGER): void {
    for (const entry of this.stream.entries.slice(this.seen).slice(0, most)) {
      const { key, value, revision } = entry;
      if (value == null) this.cache.delete(key);
      else this.cache.set(key, { value, revision, sequence: 1 });
      this.seen = revision;
      for (const follower of this.followers) follower(entry);
    }
  }

  cachedEntries(): IterableIterator<[string, Versioned<ItemRecord>]> {
    return this.cache.entries();
  }

  listen(listener: (key: string, value: ItemRecord | null) => void): () => void {
    return this.followInOrder(({ key, value }) => listener(key, value ?? null));
  }

  followInOrder(follower: (entry: Entry) => void): () => void {
    this.followers.add(follower);
    return () => this.followers.delete(follower);
  }

  caughtUp(): Promise<boolean> {
    this.readOn();
    return Promise.resolve(true);
  }

  end(): Promise<{ created: string; lastSequence: number }> {
    return Promise.resolve({ created: this.stream.created, lastSequence: this.stream.end });
  }

  storedAt(sequence: number): Promise<number | undefined> {
    return Promise.resolve(this.stream.entries[sequence - 1]?.storedAtMs);
  }
}
