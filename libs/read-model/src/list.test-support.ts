import { type ListForm, facet, sortNumber, sortText } from './list-form.js';
import type { Page, PageQuery } from './read-model.port.js';

export interface ItemPart {
  readonly name: string;
  readonly size: number;
  readonly state: 'a' | 'b' | 'c';
}

/** A record that stands for none, one or several items. */
export interface ItemRecord {
  readonly parts: readonly ItemPart[];
}

export const ITEM_LIST: ListForm<ItemRecord> = {
  name: 'items',
  version: 1,
  orders: ['name', 'size'],
  rows: (key, { parts }) =>
    parts.map((part, index) => ({
      id: `${key}-${index}`,
      sortTexts: { name: sortText(part.name), size: sortNumber(part.size) },
      facets: [facet('state', part.state), facet('parts', String(parts.length))],
      document: () => ({ key, ...part }),
    })),
};

export type ListedQuery = Omit<PageQuery, 'after'>;

export interface WholeList {
  readonly items: readonly string[];
  readonly totals: readonly number[];
}

/** All pages one after the other; each says how many there are in all. */
export async function allPages(
  ask: (query: PageQuery) => Promise<Page>,
  query: ListedQuery,
): Promise<WholeList> {
  const items: string[] = [];
  const totals = new Set<number>();
  let after: string | null = null;
  do {
    const page: Page = await ask({ ...query, after });
    items.push(...page.items);
    totals.add(page.total);
    after = page.last;
  } while (after !== null);
  return { items, totals: [...totals] };
}

/** The same by the plainest means. */
export function expectedList(
  records: ReadonlyMap<string, ItemRecord>,
  { order, descending, facets }: ListedQuery,
): WholeList {
  const rows = [...records].flatMap(([key, record]) => ITEM_LIST.rows(key, record));
  const listed = rows.filter((row) => facets.every((name) => row.facets.includes(name)));
  const before = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  listed.sort(
    (a, b) => before(a.sortTexts[order] ?? '', b.sortTexts[order] ?? '') || before(a.id, b.id),
  );
  if (descending) listed.reverse();
  return {
    items: listed.map(({ document }) => JSON.stringify(document())),
    totals: [listed.length],
  };
}
