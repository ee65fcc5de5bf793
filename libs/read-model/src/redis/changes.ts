import type { RecordEntry } from '@lariat/messaging';
import { type ListForm, type Row, placeOf } from '../list-form.js';

/** What a record stands for as of one message of the stream, as the scripts take it. */
export interface StoredChange {
  readonly key: string;
  readonly revision: number;
  readonly rows: readonly {
    readonly id: string;
    readonly document: string;
    /** The places of its orders and its facets, as JSON: where it is entered. */
    readonly entry: string;
  }[];
}

function stored({ id, sortTexts, facets, document }: Row): StoredChange['rows'][number] {
  const places = Object.entries(sortTexts).map(([order, text]) => [order, placeOf(text, id)]);
  return {
    id,
    document: JSON.stringify(document()),
    entry: JSON.stringify({ o: Object.fromEntries(places), f: facets }),
  };
}

export const changeOf = <T>(
  form: ListForm<T>,
  key: string,
  revision: number,
  value: T | null,
): StoredChange => ({
  ...{ key, revision },
  rows: value === null ? [] : form.rows(key, value).map(stored),
});

/** The newest of each record; one that can't be read changes nothing. */
export function changesOf<T>(
  form: ListForm<T>,
  entries: readonly RecordEntry<T>[],
): readonly StoredChange[] {
  const newest = new Map(
    entries.flatMap(({ key, revision, value }) =>
      value === undefined ? [] : [[key, { revision, value }] as const],
    ),
  );
  return Array.from(newest, ([key, { revision, value }]) => changeOf(form, key, revision, value));
}
