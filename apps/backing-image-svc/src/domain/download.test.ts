import { describe, expect, it } from 'vitest';
import {
  type FileIdentity,
  NO_FAILURES,
  onBreak,
  onResponse,
  rangeHeaders,
  strongValidator,
} from './download.js';

const WHOLE: FileIdentity = { etag: '"a"', lastModified: 'Tue', totalBytes: 100 };
const AT_40 = { deliveredBytes: 40, identity: WHOLE };
const START = { deliveredBytes: 0, identity: null };

/** What the table says, in a word. */
function stepOf(
  position: Parameters<typeof onResponse>[0],
  status: number,
  headers: Record<string, string> = {},
): string {
  const step = onResponse(position, { status, headers });
  switch (step.kind) {
    case 'deliver':
      return `deliver after ${step.skipBytes}`;
    case 'fail':
      return step.error.code;
    case 'retry':
      return `retry ${step.afterMs}`;
    case 'redirect':
      return `redirect ${step.location}`;
    case 'complete':
      return 'complete';
  }
}

describe('the next request', () => {
  it('asks for the rest only of a server that can be held to the file', () => {
    expect(rangeHeaders(START)).toEqual({});
    expect(rangeHeaders(AT_40)).toEqual({ range: 'bytes=40-', 'if-range': '"a"' });
    const weak = { ...WHOLE, etag: 'W/"a"' };
    expect(strongValidator(weak)).toBe('Tue');
    expect(rangeHeaders({ deliveredBytes: 40, identity: { ...weak, lastModified: null } })).toEqual(
      {},
    );
  });
});

describe('an answer', () => {
  it.each([
    ['deliver after 0', START, 200, {}],
    ['deliver after 0', START, 200, { 'content-length': '100', etag: '"a"' }],
    ['deliver after 40', AT_40, 200, { 'content-length': '100', etag: '"a"' }],
    ['deliver after 40', AT_40, 200, {}],
    ['IMAGE_SOURCE_CHANGED', AT_40, 200, { etag: '"b"' }],
    ['IMAGE_SOURCE_CHANGED', AT_40, 200, { 'content-length': '99' }],
    ['IMAGE_SOURCE_CHANGED', AT_40, 200, { 'last-modified': 'Wed' }],
    ['deliver after 0', AT_40, 206, { 'content-range': 'bytes 40-99/100' }],
    ['deliver after 0', AT_40, 206, { 'content-range': 'bytes 40-59/100' }],
    ['deliver after 0', AT_40, 206, { 'content-range': 'bytes 40-99/*' }],
    ['IMAGE_SOURCE_CHANGED', AT_40, 206, { 'content-range': 'bytes 40-99/101' }],
    ['IMAGE_SOURCE_CHANGED', AT_40, 206, { 'content-range': 'bytes 40-99/100', etag: '"b"' }],
    ['IMAGE_SOURCE_INCONSISTENT', AT_40, 206, { 'content-range': 'bytes 39-99/100' }],
    ['IMAGE_SOURCE_INCONSISTENT', AT_40, 206, { 'content-range': 'bytes 40-39/100' }],
    [
      'IMAGE_SOURCE_INCONSISTENT',
      AT_40,
      206,
      { 'content-range': 'bytes 40-99999999999999999999/100' },
    ],
    ['IMAGE_SOURCE_INCONSISTENT', AT_40, 206, {}],
    ['IMAGE_SOURCE_INCONSISTENT', START, 206, { 'content-range': 'bytes 0-99/100' }],
    ['complete', { ...AT_40, deliveredBytes: 100 }, 416, { 'content-range': 'bytes */100' }],
    ['complete', { ...AT_40, deliveredBytes: 100 }, 416, {}],
    ['IMAGE_SOURCE_CHANGED', AT_40, 416, { 'content-range': 'bytes */30' }],
    ['IMAGE_SOURCE_INCONSISTENT', START, 416, {}],
    ['redirect /x', AT_40, 302, { location: '/x' }],
    ['IMAGE_SOURCE_REFUSED', START, 302, {}],
    ['IMAGE_SOURCE_REFUSED', START, 304, {}],
    ['IMAGE_SOURCE_NOT_FOUND', START, 410, {}],
    ['retry null', START, 500, {}],
    ['retry 3000', START, 503, { 'retry-after': '3' }],
    ['retry 60000', START, 429, { 'retry-after': '999999999' }],
    ['retry null', START, 429, { 'retry-after': 'Tue, 01 Jan 2030 00:00:00 GMT' }],
  ])('leads to "%s" from %o at %i with %o', (step, position, status, headers) => {
    expect(stepOf(position, status, headers)).toBe(step);
  });
});

describe('a break', () => {
  const policy = { maxFailures: 3, maxFailuresAtStart: 2, progressBytes: 10 };
  const tries = (positions: readonly number[]): string => {
    let failures = NO_FAILURES;
    for (const [at, deliveredBytes] of positions.entries()) {
      const step = onBreak(policy, failures, {
        deliveredBytes,
        reason: 'truncated',
        detail: 'cut',
      });
      if (step.kind === 'fail') return `${step.error.code} at ${at}`;
      failures = step.failures;
    }
    return 'goes on';
  };

  it.each([
    ['IMAGE_TRUNCATED at 1', [0, 0]],
    ['IMAGE_TRUNCATED at 2', [5, 5, 5]],
    ['IMAGE_TRUNCATED at 2', [1, 2, 3]],
    ['IMAGE_TRUNCATED at 4', [5, 6, 20, 21, 22]],
    ['goes on', [10, 20, 30, 40, 50, 60]],
  ])('leads to "%s" at %o', (end, positions) => {
    expect(tries(positions)).toBe(end);
  });
});
