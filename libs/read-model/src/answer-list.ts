import { type ListRequest, type PageFacts, lariatError } from '@lariat/contracts';
import { EncodedJson } from '@lariat/messaging';
import { type CursorScope, decodeCursor, encodeCursor } from './cursor.js';
import type { RecordList } from './record-list.js';

/** A list's items as JSON, with what is said beside them. */
export interface ListedPage extends PageFacts {
  readonly items: readonly string[];
}

/** Beside the items: names, braces, the cursor. */
const ENVELOPE_BYTES = 4_096;
const DEFAULT_MAX_PAYLOAD_BYTES = 1_048_576;

/** What a list answers a request whose filters are given as facets. */
export async function listPage<T>(
  list: RecordList<T>,
  request: ListRequest & { readonly sort?: string },
  facets: readonly string[],
  maxPayloadBytes = DEFAULT_MAX_PAYLOAD_BYTES,
): Promise<ListedPage> {
  const { name, version, orders } = list.form;
  const order = request.sort ?? orders[0];
  const descending = request.descending === true;
  const scope: CursorScope = { list: name, version, order, descending, facets };
  const { cursor, limit } = request;
  const page = await list.page({
    ...{ order, descending, facets },
    after: cursor === undefined ? null : decodeCursor(scope, cursor),
    limit: limit ?? null,
    maxBytes: maxPayloadBytes - ENVELOPE_BYTES,
  });
  const { items, total, last } = page;
  if (limit === undefined && last !== null) throw listTooLong(name, total, items.length);
  return {
    items,
    ...(limit === undefined ? {} : { total }),
    ...(last === null ? {} : { next: encodeCursor(scope, last) }),
  };
}

/** The page as a request's answer, its items under the name that they have there. */
export function encodePage(field: string, { items, total, next }: ListedPage): EncodedJson {
  const facts = [
    `"${field}":[${items.join(',')}]`,
    ...(total === undefined ? [] : [`"total":${total}`]),
    ...(next === undefined ? [] : [`"next":${JSON.stringify(next)}`]),
  ];
  return new EncodedJson(`{${facts.join(',')}}`);
}

function listTooLong(list: string, total: number, fitting: number): Error {
  return lariatError(
    'LIST_TOO_LONG',
    `There are ${total} ${list}, more than one message has room for. Ask for pages: give a limit, then the 'next' of each page as the cursor of the one after it.`,
    { total, fitting },
  );
}
