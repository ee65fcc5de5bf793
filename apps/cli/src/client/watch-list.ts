import { isDeepStrictEqual } from 'node:util';

/** What has become of one item since the list was read before. */
export interface ItemChange<Item> {
  readonly type: 'listed' | 'changed' | 'gone';
  readonly item: Item;
}

/** In the order of the list; what is in it no more comes last, as it was. */
export function changesBetween<Item>(
  before: readonly Item[],
  after: readonly Item[],
  keyOf: (item: Item) => string,
): readonly ItemChange<Item>[] {
  const known = new Map(before.map((item) => [keyOf(item), item]));
  const changes = after.flatMap((item): ItemChange<Item>[] => {
    const was = known.get(keyOf(item));
    known.delete(keyOf(item));
    if (was === undefined) return [{ type: 'listed', item }];
    return isDeepStrictEqual(was, item) ? [] : [{ type: 'changed', item }];
  });
  return [...changes, ...Array.from(known.values(), (item) => ({ type: 'gone' as const, item }))];
}

export interface WatchedList<Item> {
  /** Ends when nothing more comes. */
  readonly events: AsyncIterable<unknown>;
  readonly read: () => Promise<readonly Item[]>;
  readonly keyOf: (item: Item) => string;
  readonly show: (changes: readonly ItemChange<Item>[], items: readonly Item[]) => void;
  readonly pause: () => Promise<void>;
}

/**
 * Shows the list, and then what changes in it. The events say only that something has; what it is now, the list says. Many
 * events in a row are one look.
 */
export async function watchList<Item>(watched: WatchedList<Item>): Promise<void> {
  const { events, read, keyOf, show, pause } = watched;
  let items: readonly Item[] = [];
  let looking: Promise<void> | undefined;
  let isDue = false;
  const look = async (): Promise<void> => {
    do {
      isDue = false;
      const next = await read();
      const changes = changesBetween(items, next, keyOf);
      items = next;
      if (changes.length > 0) show(changes, items);
      await pause();
    } while (isDue);
  };
  const begin = (): Promise<void> =>
    look().finally(() => {
      looking = undefined;
    });
  await begin();
  let failed: { readonly reason: unknown } | undefined;
  for await (const event of events) {
    void event;
    if (failed !== undefined) throw failed.reason;
    isDue = true;
    looking ??= begin().catch((reason: unknown) => {
      failed = { reason };
    });
  }
  await looking;
  if (failed !== undefined) throw (failed as { readonly reason: unknown }).reason;
}
