import { type ListForm, type Row, placeOf } from './list-form.js';
import type { FacetCounts, Page, PageQuery, ReadModel } from './read-model.port.js';
import { SortedPlaces } from './sorted-places.js';

interface Item {
  readonly row: Row;
  /** Its document as JSON, once it was asked for. */
  json?: string;
}

/** A list in the memory of one process. */
export class MemoryReadModel<T> implements ReadModel {
  private readonly items = new Map<string, Item>();
  private readonly idsByKey = new Map<string, readonly string[]>();
  private readonly orders: ReadonlyMap<string, SortedPlaces<Item>>;
  private readonly byFacet = new Map<string, Set<Item>>();

  constructor(private readonly form: ListForm<T>) {
    this.orders = new Map(form.orders.map((order) => [order, new SortedPlaces<Item>()]));
  }

  get size(): number {
    return this.items.size;
  }

  /** Puts many records in at the beginning. */
  fill(records: Iterable<readonly [string, T]>): void {
    for (const [key, record] of records) {
      const rows = this.form.rows(key, record);
      this.idsByKey.set(
        key,
        rows.map(({ id }) => id),
      );
      for (const row of rows) this.insert(row, (places, place, item) => places.push(place, item));
    }
  }

  /** Puts in the place of what a record stood for what it stands for now; null: nothing. */
  put(key: string, record: T | null): void {
    const rows = record === null ? [] : this.form.rows(key, record);
    const ids = new Set(rows.map(({ id }) => id));
    for (const id of this.idsByKey.get(key) ?? []) if (!ids.has(id)) this.drop(id);
    for (const row of rows) this.replace(row);
    if (rows.length === 0) this.idsByKey.delete(key);
    else this.idsByKey.set(key, [...ids]);
  }

  page(query: PageQuery): Promise<Page> {
    return Promise.resolve(this.pageNow(query));
  }

  counts(facetName: string): Promise<FacetCounts> {
    const prefix = `${facetName}=`;
    const found = [...this.byFacet]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, { size }]) => [name.slice(prefix.length), size] as const);
    return Promise.resolve(Object.fromEntries(found));
  }

  private pageNow({ order, descending, facets, after, limit, maxBytes }: PageQuery): Page {
    const having = this.having(facets);
    const total = this.total(having);
    const items: string[] = [];
    let bytes = 0;
    let last: string | null = null;
    const places = this.orders.get(order);
    for (const { place, item } of places?.walk(after, descending) ?? []) {
      if (!isInAll(item, having)) continue;
      const json = jsonOf(item);
      const size = Buffer.byteLength(json);
      const isFull = items.length === limit || (items.length > 0 && bytes + size > maxBytes);
      if (isFull) return { items, total, last };
      items.push(json);
      bytes += size;
      last = place;
    }
    return { items, total, last: null };
  }

  /** Of each facet those that have it, of the rarest first: to look there is cheaper than to compare an item's own. */
  private having(facets: readonly string[]): readonly ReadonlySet<Item>[] {
    return facets
      .map((name) => this.byFacet.get(name) ?? NONE)
      .toSorted((one, other) => one.size - other.size);
  }

  private total([rarest, ...others]: readonly ReadonlySet<Item>[]): number {
    if (rarest === undefined) return this.items.size;
    if (others.length === 0) return rarest.size;
    let total = 0;
    for (const item of rarest) if (isInAll(item, others)) total += 1;
    return total;
  }

  private insert(
    row: Row,
    enter: (places: SortedPlaces<Item>, place: string, item: Item) => void,
  ): void {
    const item: Item = { row };
    this.items.set(row.id, item);
    for (const [order, places] of this.orders) enter(places, placeIn(order, row), item);
    this.enter(item);
  }

  private replace(row: Row): void {
    const before = this.items.get(row.id);
    if (before === undefined) {
      this.insert(row, (places, place, item) => places.add(place, item));
      return;
    }
    const item: Item = { row };
    for (const [order, places] of this.orders) {
      const [was, is] = [placeIn(order, before.row), placeIn(order, row)];
      if (was === is) {
        places.exchange(is, item);
        continue;
      }
      places.remove(was);
      places.add(is, item);
    }
    this.leave(before);
    this.enter(item);
    this.items.set(row.id, item);
  }

  private drop(id: string): void {
    const item = this.items.get(id);
    if (item === undefined) return;
    for (const [order, places] of this.orders) places.remove(placeIn(order, item.row));
    this.leave(item);
    this.items.delete(id);
  }

  private enter(item: Item): void {
    for (const name of item.row.facets) {
      const having = this.byFacet.get(name);
      if (having === undefined) this.byFacet.set(name, new Set([item]));
      else having.add(item);
    }
  }

  private leave(item: Item): void {
    for (const name of item.row.facets) {
      const having = this.byFacet.get(name);
      having?.delete(item);
      if (having?.size === 0) this.byFacet.delete(name);
    }
  }
}

const placeIn = (order: string, { sortTexts, id }: Row): string =>
  placeOf(sortTexts[order] ?? '', id);

const NONE: ReadonlySet<Item> = new Set();

const isInAll = (item: Item, having: readonly ReadonlySet<Item>[]): boolean =>
  having.every((those) => those.has(item));

function jsonOf(item: Item): string {
  item.json ??= JSON.stringify(item.row.document());
  return item.json;
}
