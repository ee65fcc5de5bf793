/** One item of a list, as a projection of a record makes it. */
export interface Row {
  /** Within its list. */
  readonly id: string;
  /** Of each order of the list, the text that the item is sorted by; items with the same text go by their id. */
  readonly sortTexts: Readonly<Record<string, string>>;
  /** What a filter may ask for, e.g. `state=attached`. */
  readonly facets: readonly string[];
  /** What is answered; asked for when it is needed, and the same each time. */
  readonly document: () => unknown;
}

/** A list as a pure projection of the records of one bucket. */
export interface ListForm<T> {
  readonly name: string;
  /** To be counted up with every change of what the projection makes of the same record. */
  readonly version: number;
  /** Names of the orders; the first is the one of a list that asks for none. */
  readonly orders: readonly [string, ...string[]];
  /** The items that a record stands for. */
  readonly rows: (key: string, record: T) => readonly Row[];
}

export const facet = (name: string, value: string): string => `${name}=${value}`;

/** No text is sorted by beyond it; cursors and index entries stay small. */
const MAX_SORT_TEXT = 256;

/** A text that JavaScript and Redis sort alike: ASCII. */
export const sortText = (text: string): string =>
  text.replaceAll(/[^\u0020-\u007E]/g, '?').slice(0, MAX_SORT_TEXT);

const DIGITS = String(Number.MAX_SAFE_INTEGER).length;

/** A number as a text that sorts as it does. */
export const sortNumber = (value: number): string =>
  String(Math.max(0, Math.trunc(value))).padStart(DIGITS, '0');

/** Nothing in a sort text or an id is below it, so that a text goes before those that it begins. */
const SEPARATOR = '\0';

/** An item's place in an order, told apart from all others. */
export const placeOf = (text: string, id: string): string => `${text}${SEPARATOR}${id}`;
