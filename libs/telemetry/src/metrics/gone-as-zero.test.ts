import { expect, it } from 'vitest';
import { GONE_TOLD_MS, goneAsZero } from './gone-as-zero.js';
import type { METRICS } from './metric-table.js';

const sample = (state: string, value = 1) => ({
  value,
  attributes: { 'node.id': 'n1', state, duty: 'active' },
});

it('tells what was there and is not any more as 0, for as long as somebody may remember it', () => {
  let now = 0;
  const told = goneAsZero<typeof METRICS.nodes>(() => now);
  expect(told([sample('ready')])).toEqual([sample('ready')]);
  now += 10_000;
  expect(told([sample('down')])).toEqual([sample('down'), sample('ready', 0)]);
  now += GONE_TOLD_MS;
  expect(told([sample('ready')])).toEqual([sample('ready'), sample('down', 0)]);
  now += GONE_TOLD_MS + 1;
  expect(told([sample('ready')])).toEqual([sample('ready')]);
  now += 1;
  expect(told([])).toEqual([sample('ready', 0)]);
});
