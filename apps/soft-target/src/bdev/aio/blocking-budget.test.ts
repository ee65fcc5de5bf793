import { expect, test } from 'vitest';
import { BlockingBudget } from './blocking-budget.js';

let nowMs = 0;
const budget = new BlockingBudget(() => nowMs);
const way = (lengthBytes: number, tookMs: number): string => {
  let used = 'pooled';
  void budget.run(
    lengthBytes,
    () => {
      used = 'blocking';
      nowMs += tookMs;
    },
    () => Promise.resolve(),
  );
  return used;
};

test('blocks while the page cache answers, and leaves a slow disk to the thread pool for a while', () => {
  expect(way(4096, 0.01)).toBe('blocking');
  expect(way(4096, 8)).toBe('blocking');
  expect(way(4096, 0.01)).toBe('pooled');
  nowMs += 49;
  expect(way(4096, 0.01)).toBe('pooled');
  nowMs += 2;
  expect(way(4096, 0.01)).toBe('blocking');
});

test('never blocks for a long one', () => {
  expect(way(1024 * 1024, 0)).toBe('pooled');
});

test('hands on what a blocking call throws', () => {
  const failing = (): never => {
    throw new Error('EIO');
  };
  expect(() => budget.run(512, failing, () => Promise.resolve())).toThrow('EIO');
});
