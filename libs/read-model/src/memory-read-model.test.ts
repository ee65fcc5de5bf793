import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ITEM_LIST,
  type ItemPart,
  type ItemRecord,
  type ListedQuery,
  allPages,
  expectedList,
} from './list.test-support.js';
import { MemoryReadModel } from './memory-read-model.js';

interface HistoryChange {
  readonly key: string;
  readonly value: ItemRecord | null;
}

const arbitraryPart: fc.Arbitrary<ItemPart> = fc.record({
  // Few names, so that many are the same, or begin others; some that are not ASCII.
  name: fc.constantFrom('a', 'ab', 'a-b', 'b', 'ä', '日本', 'a\u0000b', ''),
  size: fc.constantFrom(0, 9, 10, 1_000_000_000_000),
  state: fc.constantFrom('a', 'b', 'c'),
});

const arbitraryChange: fc.Arbitrary<HistoryChange> = fc.record({
  key: fc.constantFrom('k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7'),
  value: fc.option(fc.record({ parts: fc.array(arbitraryPart, { maxLength: 3 }) }), { freq: 4 }),
});

const arbitraryQuery: fc.Arbitrary<ListedQuery> = fc.record({
  order: fc.constantFrom('name', 'size'),
  descending: fc.boolean(),
  facets: fc.constantFrom([], ['state=a'], ['state=a', 'parts=2'], ['parts=1'], ['state=none']),
  limit: fc.constantFrom(1, 2, 3, 100),
  maxBytes: fc.constantFrom(60, 1_000_000),
});

const arbitraryHistory = fc
  .record({ changes: fc.array(arbitraryChange, { maxLength: 40 }), query: arbitraryQuery })
  .chain(({ changes, query }) =>
    fc.integer({ min: 0, max: changes.length }).map((begin) => ({ changes, query, begin })),
  );

const filled = (records: ReadonlyMap<string, ItemRecord>): MemoryReadModel<ItemRecord> => {
  const model = new MemoryReadModel(ITEM_LIST);
  model.fill(records);
  return model;
};

describe('a list in memory', () => {
  it('has after any history what sorting and filtering all records gives', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryHistory, async ({ changes, query, begin }) => {
        const records = new Map<string, ItemRecord>();
        const model = new MemoryReadModel(ITEM_LIST);
        changes.forEach(({ key, value }, index) => {
          if (value === null) records.delete(key);
          else records.set(key, value);
          // What was there at the beginning is put in at once.
          if (index + 1 === begin) model.fill(records);
          else if (index + 1 > begin) model.put(key, value);
        });
        expect(await allPages((asked) => model.page(asked), query)).toEqual(
          expectedList(records, query),
        );
      }),
    );
  });

  it('ends a page before it is too large for a message, and goes on after it', async () => {
    const records = new Map(
      Array.from({ length: 9 }, (_, index): [string, ItemRecord] => [
        `k${index}`,
        { parts: [{ name: `n${index}`, size: index, state: 'a' }] },
      ]),
    );
    const query = { order: 'name', descending: false, facets: [], limit: 9, maxBytes: 100 };
    const first = await filled(records).page({ ...query, after: null });
    expect(first.items.length).toBeLessThan(9);
    expect(first.items.join('').length).toBeLessThanOrEqual(100);
    expect(first.last).not.toBeNull();
    const pages = await allPages((asked) => filled(records).page(asked), query);
    expect(pages.items).toHaveLength(9);
  });

  it('counts its items by the values of a facet', async () => {
    const model = filled(
      new Map([
        ['k1', { parts: [{ name: 'x', size: 1, state: 'a' as const }] }],
        ['k2', { parts: [{ name: 'y', size: 1, state: 'b' as const }] }],
        ['k3', { parts: [{ name: 'z', size: 1, state: 'a' as const }] }],
      ]),
    );
    expect(await model.counts('state')).toEqual({ a: 2, b: 1 });
    model.put('k3', null);
    expect(await model.counts('state')).toEqual({ a: 1, b: 1 });
  });
});
