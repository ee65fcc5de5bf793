import { lariatError } from '@lariat/contracts';
import { LariatError } from '@lariat/kernel';

/** What the first answer said the file is; later answers must agree. */
export interface FileIdentity {
  readonly etag: string | null;
  readonly lastModified: string | null;
  readonly totalBytes: number | null;
}

/** How far a download has come. */
export interface Position {
  /** Bytes that have been handed on and cannot be taken back. */
  readonly deliveredBytes: number;
  readonly identity: FileIdentity | null;
}

export interface ResponseHead {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string | undefined>>;
}

export type DownloadStep =
  /** The body is the file from `deliveredBytes - skipBytes` on; the first `skipBytes` are had already. */
  | { readonly kind: 'deliver'; readonly identity: FileIdentity; readonly skipBytes: number }
  | { readonly kind: 'complete' }
  | { readonly kind: 'redirect'; readonly location: string }
  | { readonly kind: 'retry'; readonly reason: string; readonly afterMs: number | null }
  | { readonly kind: 'fail'; readonly error: LariatError };

/**
 * The validator by which a server can promise that it goes on with the same bytes. A weak ETag promises only the
 * same meaning, and must not be used so (RFC 9110, 13.1.5).
 */
export function strongValidator(identity: FileIdentity): string | null {
  if (identity.etag !== null && !identity.etag.startsWith('W/')) return identity.etag;
  return identity.lastModified;
}

/** Headers of the next request: from where it stopped if the server can be held to it, else from the start. */
export function rangeHeaders({ deliveredBytes, identity }: Position): Record<string, string> {
  const validator = identity === null ? null : strongValidator(identity);
  return deliveredBytes === 0 || validator === null
    ? {}
    : { range: `bytes=${deliveredBytes}-`, 'if-range': validator };
}

/** What to do on an answer. */
export function onResponse(position: Position, head: ResponseHead): DownloadStep {
  const { status } = head;
  if (status === 200) return onWhole(position, head);
  if (status === 206) return onPart(position, head);
  if (status === 416) return onNoSuchRange(position, head);
  const { location } = head.headers;
  if (REDIRECTS.has(status) && location !== undefined) return { kind: 'redirect', location };
  if (RETRIED.has(status) || status >= 500) {
    const afterMs = retryAfterMs(head.headers['retry-after']);
    return { kind: 'retry', reason: `the server answered ${status}`, afterMs };
  }
  return fail(...refusal(status));
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Request timeout, too early, too many requests. */
const RETRIED: ReadonlySet<number> = new Set([408, 425, 429]);
const MAX_RETRY_AFTER_MS = 60_000;

function retryAfterMs(header: string | undefined): number | null {
  const seconds = header !== undefined && /^\d{1,9}$/.test(header) ? Number(header) : null;
  return seconds === null ? null : Math.min(seconds * 1000, MAX_RETRY_AFTER_MS);
}

function refusal(status: number): Parameters<typeof fail> {
  switch (status) {
    case 401:
    case 403:
      return ['IMAGE_SOURCE_REFUSED', `the server does not give the image out (status ${status})`];
    case 404:
    case 410:
      return ['IMAGE_SOURCE_NOT_FOUND', `there is no image at that url (status ${status})`];
    default:
      return ['IMAGE_SOURCE_REFUSED', `the server refuses with status ${status}; check the url`];
  }
}

/** The whole file again: either the first answer, or the server has no ranges, or the file has changed. */
function onWhole({ deliveredBytes, identity }: Position, head: ResponseHead): DownloadStep {
  const totalBytes = wholeNumber(head.headers['content-length']);
  const found = identityOf(head, totalBytes);
  if (identity !== null) {
    const difference = differenceOf(identity, found);
    if (difference !== null) return changed(difference);
  }
  return { kind: 'deliver', identity: merge(identity, found), skipBytes: deliveredBytes };
}

const CONTENT_RANGE = /^bytes (\d+)-(\d+)\/(\d+|\*)$/;

function onPart({ deliveredBytes, identity }: Position, head: ResponseHead): DownloadStep {
  const range = CONTENT_RANGE.exec(head.headers['content-range'] ?? '');
  const first = wholeNumber(range?.[1]);
  const last = wholeNumber(range?.[2]);
  if (identity === null || first !== deliveredBytes || last === null || last < first) {
    return inconsistent(
      `it was asked for the bytes from ${deliveredBytes} on, and answers with '${head.headers['content-range'] ?? 'no range'}'`,
    );
  }
  const totalBytes = wholeNumber(range?.[3]);
  const found = identityOf(head, totalBytes);
  const difference = differenceOf(identity, found);
  if (difference !== null) return changed(difference);
  return { kind: 'deliver', identity: merge(identity, found), skipBytes: 0 };
}

/** "Range not satisfiable" is how a server says that there is no more, which is right only at the very end. */
function onNoSuchRange({ deliveredBytes, identity }: Position, head: ResponseHead): DownloadStep {
  const told = /^bytes \*\/(\d+)$/.exec(head.headers['content-range'] ?? '')?.[1];
  const totalBytes = wholeNumber(told) ?? identity?.totalBytes ?? null;
  if (identity === null || deliveredBytes === 0) {
    return inconsistent('it answers 416 to a request without a range');
  }
  if (totalBytes === deliveredBytes) return { kind: 'complete' };
  return changed(`there are ${totalBytes ?? 'fewer'} bytes now`);
}

function identityOf({ headers }: ResponseHead, totalBytes: number | null): FileIdentity {
  return {
    etag: headers['etag'] ?? null,
    lastModified: headers['last-modified'] ?? null,
    totalBytes,
  };
}

/** What an answer leaves out is not a contradiction: a 206 need not repeat it (RFC 9110, 15.3.7). */
function differenceOf(was: FileIdentity, is: FileIdentity): string | null {
  for (const field of ['etag', 'lastModified', 'totalBytes'] as const) {
    if (was[field] !== null && is[field] !== null && was[field] !== is[field])
      return `${field} was ${was[field]} and is ${is[field]}`;
  }
  return null;
}

const merge = (was: FileIdentity | null, is: FileIdentity): FileIdentity => ({
  etag: was?.etag ?? is.etag,
  lastModified: was?.lastModified ?? is.lastModified,
  totalBytes: was?.totalBytes ?? is.totalBytes,
});

function wholeNumber(text: string | undefined): number | null {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return null;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : null;
}

const fail = (code: Parameters<typeof lariatError>[0], message: string): DownloadStep => ({
  kind: 'fail',
  error: lariatError(code, message),
});

const changed = (difference: string): DownloadStep =>
  fail(
    'IMAGE_SOURCE_CHANGED',
    `the file at that url changed while it was being fetched (${difference}); try again`,
  );

const inconsistent = (message: string): DownloadStep =>
  fail('IMAGE_SOURCE_INCONSISTENT', `the server contradicts itself: ${message}`);

/** Why a download stopped before its end. */
export const BreakReason = Object.freeze({
  truncated: 'truncated',
  tooSlow: 'tooSlow',
  network: 'network',
} as const);
export type BreakReason = (typeof BreakReason)[keyof typeof BreakReason];

export interface RetryPolicy {
  /** Failures in a row, without progress between them, after which a download is given up. */
  readonly maxFailures: number;
  /** The same before the first byte: a wrong url should be told soon. */
  readonly maxFailuresAtStart: number;
  /** Less than this between two failures is no progress, so that a server cannot hold an import for ever. */
  readonly progressBytes: number;
}

export interface Failures {
  readonly count: number;
  /** `deliveredBytes` at the last failure that was counted as one after progress. */
  readonly sinceBytes: number;
}

export const NO_FAILURES: Failures = { count: 0, sinceBytes: 0 };

export type BreakStep =
  | { readonly kind: 'retry'; readonly failures: Failures }
  | { readonly kind: 'fail'; readonly error: LariatError };

/** What to do when a download broke at `deliveredBytes`. */
export function onBreak(
  policy: RetryPolicy,
  { count, sinceBytes }: Failures,
  at: { readonly deliveredBytes: number; readonly reason: BreakReason; readonly detail: string },
): BreakStep {
  const { deliveredBytes, reason, detail } = at;
  const hasProgress = deliveredBytes - sinceBytes >= policy.progressBytes;
  const failures = hasProgress
    ? { count: 1, sinceBytes: deliveredBytes }
    : { count: count + 1, sinceBytes };
  const most = deliveredBytes === 0 ? policy.maxFailuresAtStart : policy.maxFailures;
  if (failures.count < most) return { kind: 'retry', failures };
  return { kind: 'fail', error: givenUp(reason, deliveredBytes, failures.count, detail) };
}

function givenUp(
  reason: BreakReason,
  deliveredBytes: number,
  tries: number,
  detail: string,
): LariatError {
  const after = `after ${deliveredBytes} bytes and ${tries} tries: ${detail}`;
  switch (reason) {
    case 'truncated':
      return lariatError('IMAGE_TRUNCATED', `the server ends the image too early, ${after}`);
    case 'tooSlow':
      return lariatError('IMAGE_SOURCE_TOO_SLOW', `the server is too slow, ${after}`);
    case 'network':
      return lariatError('IMAGE_SOURCE_UNAVAILABLE', `the image cannot be fetched, ${after}`);
  }
}
