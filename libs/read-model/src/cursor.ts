import { createHash } from 'node:crypto';
import { lariatError } from '@lariat/contracts';

/** Which list a cursor goes on with: one of another list, order or filter would pass items over. */
export interface CursorScope {
  readonly list: string;
  readonly version: number;
  readonly order: string;
  readonly descending: boolean;
  readonly facets: readonly string[];
}

const SCOPE_LENGTH = 12;

const scopeOf = ({ list, version, order, descending, facets }: CursorScope): string =>
  createHash('sha256')
    .update(JSON.stringify([list, version, order, descending, facets.toSorted()]))
    .digest('base64url')
    .slice(0, SCOPE_LENGTH);

/** The same wherever the page came from, so that any instance goes on with it. */
export const encodeCursor = (scope: CursorScope, place: string): string =>
  Buffer.from(JSON.stringify([scopeOf(scope), place])).toString('base64url');

export function decodeCursor(scope: CursorScope, cursor: string): string {
  const [of, place] = parse(cursor);
  if (typeof of !== 'string' || typeof place !== 'string') {
    throw lariatError(
      'CURSOR_INVALID',
      "cursor is not the 'next' of a page. Leave it out for the first page.",
    );
  }
  if (of !== scopeOf(scope)) {
    throw lariatError(
      'CURSOR_INVALID',
      'cursor is of another list, or of other filters or another order. Ask as for the page before, or begin at the first page.',
    );
  }
  return place;
}

function parse(cursor: string): readonly unknown[] {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    return Array.isArray(parsed) ? parsed : [];
  } catch {
    return [];
  }
}
