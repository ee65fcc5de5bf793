import type { PageFacts, RequestMap } from '@lariat/contracts';

/** The lists that are answered page by page, and what their items are called. */
export const LIST_FIELDS = {
  'volume.list': 'volumes',
  'snapshot.list': 'snapshots',
  'image.list': 'images',
  'node.list': 'nodes',
  'orphan.list': 'orphans',
  'operation.list': 'operations',
} as const;

export type ListName = keyof typeof LIST_FIELDS;
export type ListQuery<Name extends ListName> = RequestMap[Name]['request'];
export type ListItem<Name extends ListName> =
  RequestMap[Name]['reply'] extends Readonly<
    Record<(typeof LIST_FIELDS)[Name], readonly (infer Item)[]>
  >
    ? Item
    : never;

export interface Listed<Item> extends PageFacts {
  readonly items: readonly Item[];
}

/** Whoever can ask the API: a session of the command line, or a client. */
export interface ListSource {
  request(name: ListName, query: ListQuery<ListName>): Promise<PageFacts>;
}

/** As many as fit into a message with room to spare; the whole list is asked for in such pieces. */
const PIECE = 500;

/** The page that is asked for by `limit`; without it all that there are. */
export async function readList<Name extends ListName>(
  source: ListSource,
  name: Name,
  query: ListQuery<Name>,
): Promise<Listed<ListItem<Name>>> {
  const isWhole = query.limit === undefined;
  const items: ListItem<Name>[] = [];
  let { cursor } = query;
  for (;;) {
    const asked = Object.assign({ limit: PIECE }, query, cursor === undefined ? {} : { cursor });
    const reply: PageFacts = await source.request(name, asked);
    const { total, next } = reply;
    const piece = (reply as unknown as Readonly<Record<string, readonly ListItem<Name>[]>>)[
      LIST_FIELDS[name]
    ];
    items.push(...(piece ?? []));
    if (isWhole && next !== undefined) {
      cursor = next;
      continue;
    }
    const facts = {
      ...(total === undefined ? {} : { total }),
      ...(next === undefined ? {} : { next }),
    };
    return { items, ...(isWhole ? {} : facts) };
  }
}
