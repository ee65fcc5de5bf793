import { IsInt, IsOptional, Max, Min, ValidateBy } from 'class-validator';
import type { ErrorCode } from '../error-codes.js';
import { IsFlag } from './fields.js';

/** More do not fit into one message, whatever they are. */
export const MAX_PAGE_ITEMS = 1_000;
const MAX_CURSOR_LENGTH = 1_024;

/** A field that is one of a few words, or left out. */
export function IsOneOf(
  name: string,
  words: readonly string[],
  code: ErrorCode = 'REQUEST_INVALID',
): PropertyDecorator {
  return (request, field) => {
    IsOptional()(request, field);
    ValidateBy(
      {
        name: 'isOneOf',
        validator: {
          validate: (value) => typeof value === 'string' && words.includes(value),
          defaultMessage: () => `${name} must be one of ${words.join(', ')}.`,
        },
      },
      { context: { code } },
    )(request, field);
  };
}

/** By what a list may be ordered; the first is what it is ordered by when nothing is said. */
export const IsOrder = (orders: readonly string[]): PropertyDecorator =>
  IsOneOf('sort', orders, 'SORT_INVALID');

const IsCursor = (): PropertyDecorator =>
  ValidateBy(
    {
      name: 'isCursor',
      validator: {
        validate: (value) =>
          typeof value === 'string' &&
          value.length <= MAX_CURSOR_LENGTH &&
          /^[A-Za-z0-9_-]+$/.test(value),
        defaultMessage: () =>
          "cursor must be the 'next' of the page before, as it was answered. Leave it out for the first page.",
      },
    },
    { context: { code: 'CURSOR_INVALID' } },
  );

/** A list, whole or page by page. */
export class ListRequest {
  /** A page of this many at most; left out: all, as long as they fit into one message. */
  @IsOptional()
  @IsInt({ message: 'limit must be a whole number.' })
  @Min(1, { message: 'limit must be at least 1.' })
  @Max(MAX_PAGE_ITEMS, { message: `limit must be at most ${MAX_PAGE_ITEMS}.` })
  limit?: number;

  /** `next` of the page before, with the same filters and order. */
  @IsOptional()
  @IsCursor()
  cursor?: string;

  @IsFlag()
  descending?: boolean;
}

/** Beside the items of a list, when a `limit` was asked for. */
export interface PageFacts {
  /** All that the filters let through, on this page and others, when it was answered. */
  readonly total?: number;
  /** The cursor of the page after this one; missing: this is the last. */
  readonly next?: string;
}
