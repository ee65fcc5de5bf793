import type { ListForm } from './list-form.js';
import { MemoryReadModel } from './memory-read-model.js';
import type {
  FacetCounts,
  Page,
  PageQuery,
  ReadModel,
  ReadModelNumbers,
} from './read-model.port.js';
import type { RecordSource } from './record-source.js';

/** A model that several processes share. Undefined: it can't answer now, or lacks what is asked for. */
export interface SharedReadModel {
  page(query: PageQuery, atLeast: number): Promise<Page | undefined>;
  counts(facetName: string, atLeast: number): Promise<FacetCounts | undefined>;
  numbers(): { readonly lagMs: number; readonly rebuilds: number };
  close(): Promise<void>;
}

export interface RecordListOptions<T> {
  readonly source: RecordSource<T>;
  readonly form: ListForm<T>;
  readonly shared?: SharedReadModel;
}

/** How long an answer waits for what others have changed; after it, it is of what has arrived. */
const CATCH_UP_MS = 1_000;

/**
 * A list of records. An answer has all that was stored before it was asked for, whoever stored it, so that a caller finds
 * what he has just changed. The process' own memory can always answer; what is shared only spares it the work.
 */
export class RecordList<T> implements ReadModel {
  private readonly memory: MemoryReadModel<T>;
  private byShared = 0;
  private byMemory = 0;

  constructor(private readonly options: RecordListOptions<T>) {
    const { source, form } = options;
    this.memory = new MemoryReadModel(form);
    this.memory.fill(valuesOf(source));
    source.listen((key, record) => this.memory.put(key, record));
  }

  get form(): ListForm<T> {
    return this.options.form;
  }

  page(query: PageQuery): Promise<Page> {
    return this.ask(
      (shared, atLeast) => shared.page(query, atLeast),
      () => this.memory.page(query),
    );
  }

  counts(facetName: string): Promise<FacetCounts> {
    return this.ask(
      (shared, atLeast) => shared.counts(facetName, atLeast),
      () => this.memory.counts(facetName),
    );
  }

  numbers(): ReadModelNumbers {
    const shared = this.options.shared?.numbers();
    return {
      adapter: shared === undefined ? 'memory' : 'redis',
      position: this.options.source.position,
      items: this.memory.size,
      lagMs: shared?.lagMs ?? null,
      shared: this.byShared,
      memory: this.byMemory,
      rebuilds: shared?.rebuilds ?? 0,
    };
  }

  private async ask<Answer>(
    ofShared: (shared: SharedReadModel, atLeast: number) => Promise<Answer | undefined>,
    ofMemory: () => Promise<Answer>,
  ): Promise<Answer> {
    const { source, shared } = this.options;
    const isFresh = await source.caughtUp(CATCH_UP_MS);
    if (shared !== undefined && isFresh) {
      const answer = await ofShared(shared, source.position);
      if (answer !== undefined) {
        this.byShared += 1;
        return answer;
      }
    }
    this.byMemory += 1;
    return ofMemory();
  }
}

function* valuesOf<T>(source: RecordSource<T>): Iterable<readonly [string, T]> {
  for (const [key, { value }] of source.cachedEntries()) yield [key, value];
}
