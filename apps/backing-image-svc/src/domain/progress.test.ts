import { describe, expect, it } from 'vitest';
import { sumsCoverHoles } from './hole-policy.js';
import { ProgressMeter } from './progress.js';
import { RateGuard } from './rate-guard.js';

describe('progress', () => {
  it('has the rate of the last ten seconds, and the time that is left at it', () => {
    const meter = new ProgressMeter('downloading', 10_000, 0);
    expect(meter.at(0, 0)).toMatchObject({ bytesPerSecond: 0, etaMs: null });
    expect(meter.at(1000, 1000)).toMatchObject({ bytesPerSecond: 1000, etaMs: 9000 });
    // Then at a tenth of that: in the end the fast second counts for nothing.
    for (let second = 2; second <= 20; second += 1) meter.at(second * 1000, 1000 + second * 100);
    expect(meter.at(21_000, 3100)).toMatchObject({ bytesPerSecond: 100, etaMs: 69_000 });
    expect(meter.at(22_000, 10_000)).toMatchObject({ doneBytes: 10_000, etaMs: 0 });
  });

  it('of an unknown size has no end that could be told', () => {
    const meter = new ProgressMeter('downloading', null, 0);
    expect(meter.at(1000, 1000)).toMatchObject({
      totalBytes: null,
      bytesPerSecond: 1000,
      etaMs: null,
    });
  });
});

describe('the guard of the rate', () => {
  it('looks at whole windows of waiting', () => {
    const guard = new RateGuard({ minBytesPerSecond: 1000, windowMs: 500 });
    expect(guard.accepts(400, 1)).toBe(true);
    expect(guard.accepts(100, 498)).toBe(false);
    expect(guard.accepts(500, 500)).toBe(true);
    expect(guard.accepts(0, 0)).toBe(true);
  });
});

it('the sums cover the holes while those are few', () => {
  const policy = { alwaysBytes: 100, perDataByte: 2 };
  expect(sumsCoverHoles(policy, 101, 1)).toBe(true);
  expect(sumsCoverHoles(policy, 102, 1)).toBe(false);
  expect(sumsCoverHoles(policy, 3000, 1000)).toBe(true);
  expect(sumsCoverHoles(policy, 3001, 1000)).toBe(false);
});
