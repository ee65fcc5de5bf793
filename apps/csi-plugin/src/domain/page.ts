import { Refusal } from './refusal.js';

export interface Page<T> {
  readonly entries: readonly T[];
  /** Empty: there are no more. */
  readonly nextToken: string;
}

const TOKEN_PREFIX = 'after:';

/**
 * The entries after the token, by id. A token names the last id of the page before: what has gone or come since
 * neither repeats an entry nor leaves one out.
 */
export function pageOf<T>(
  all: readonly T[],
  idOf: (entry: T) => string,
  { maxEntries, startingToken }: { readonly maxEntries: number; readonly startingToken: string },
): Page<T> {
  if (maxEntries < 0)
    throw new Refusal('INVALID_ARGUMENT', 'max_entries must not be negative; 0 is no limit.');
  if (startingToken !== '' && !startingToken.startsWith(TOKEN_PREFIX)) {
    throw new Refusal(
      'ABORTED',
      `starting_token '${startingToken}' is none of this plugin's: begin again without one.`,
    );
  }
  const after = startingToken.slice(TOKEN_PREFIX.length);
  const rest = all
    .filter((entry) => idOf(entry) > after)
    .toSorted((one, other) => (idOf(one) < idOf(other) ? -1 : 1));
  const entries = maxEntries === 0 ? rest : rest.slice(0, maxEntries);
  const last = entries.at(-1);
  const isAll = last === undefined || entries.length === rest.length;
  return { entries, nextToken: isAll ? '' : `${TOKEN_PREFIX}${idOf(last)}` };
}
