import { describe, expect, it } from 'vitest';
import { encodePage, listPage } from './answer-list.js';
import { ITEM_LIST, type ItemRecord } from './list.test-support.js';
import { RecordList } from './record-list.js';
import type { RecordSource } from './record-source.js';

/** Records that are all there from the beginning. */
function sourceOf(records: ReadonlyMap<string, ItemRecord>): RecordSource<ItemRecord> {
  const entries = new Map(
    Array.from(records, ([key, value]) => [key, { value, revision: 1, sequence: 1 }] as const),
  );
  return {
    cachedEntries: () => entries.entries(),
    listen: () => () => undefined,
    followInOrder: () => () => undefined,
    position: 1,
    caughtUp: () => Promise.resolve(true),
    end: () => Promise.resolve({ created: 'now', lastSequence: 1 }),
    storedAt: () => Promise.resolve(undefined),
  };
}

const COUNT = 25;
const list = new RecordList({
  source: sourceOf(
    new Map(
      Array.from({ length: COUNT }, (_, index): [string, ItemRecord] => [
        `k${index}`,
        { parts: [{ name: `n${index}`, size: index % 5, state: index < 10 ? 'a' : 'b' }] },
      ]),
    ),
  ),
  form: ITEM_LIST,
});

describe('the answer to a list', () => {
  it('is whole, with nothing beside it, when no limit is asked for', async () => {
    const page = await listPage(list, {}, []);
    expect(page.items).toHaveLength(COUNT);
    expect(Object.keys(page)).toEqual(['items']);
  });

  it('leads from page to page by its cursors, over each item once', async () => {
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const request = { limit: 7, sort: 'size', descending: true };
      const asked = cursor === undefined ? request : { ...request, cursor };
      const { items, total, next } = await listPage(list, asked, []);
      expect(total).toBe(COUNT);
      found.push(...items);
      cursor = next;
    } while (cursor !== undefined);
    expect(new Set(found).size).toBe(COUNT);
    const sizes = found.map((item) => (JSON.parse(item) as { size: number }).size);
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
  });

  it('refuses the cursor of another list, order or filter, and what is no cursor', async () => {
    const { next = '' } = await listPage(list, { limit: 2 }, ['state=a']);
    const refused = { code: 'CURSOR_INVALID', kind: 'invalid' };
    const withNext = { limit: 2, cursor: next };
    await expect(listPage(list, withNext, ['state=b'])).rejects.toMatchObject(refused);
    await expect(listPage(list, { ...withNext, sort: 'size' }, ['state=a'])).rejects.toMatchObject(
      refused,
    );
    await expect(
      listPage(list, { ...withNext, descending: true }, ['state=a']),
    ).rejects.toMatchObject(refused);
    await expect(listPage(list, { cursor: 'abc' }, [])).rejects.toMatchObject(refused);
    expect((await listPage(list, withNext, ['state=a'])).items).toHaveLength(2);
  });

  it('says that it is too long for one message, and how to ask then', async () => {
    const small = 4_096 + 200;
    await expect(listPage(list, {}, [], small)).rejects.toMatchObject({
      code: 'LIST_TOO_LONG',
      details: { total: COUNT },
    });
    const { items, next } = await listPage(list, { limit: COUNT }, [], small);
    expect(items.length).toBeLessThan(COUNT);
    expect(next).toBeDefined();
  });

  it('is JSON with the items as they are, and what is said beside them', () => {
    const page = { items: ['{"a":1}', '{"a":"é"}'], total: 9, next: 'abc' };
    expect(JSON.parse(encodePage('things', page).text)).toEqual({
      things: [{ a: 1 }, { a: 'é' }],
      total: 9,
      next: 'abc',
    });
    expect(JSON.parse(encodePage('things', { items: [] }).text)).toEqual({ things: [] });
  });
});
