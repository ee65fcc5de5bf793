import { expect, test } from 'vitest';
import { timeoutMs } from './decode.js';

test.each([
  [0, 0],
  [1500, 1500],
  [0x7fff_ffff, 0x7fff_ffff],
  // A Node timer would take these for 1 ms.
  [0x8000_0000, 0x7fff_ffff],
  [Number.MAX_SAFE_INTEGER, 0x7fff_ffff],
])('a timeout of %d ms waits for %d', (given, waited) => {
  expect(timeoutMs.decode(given)).toBe(waited);
});

test.each([-1, 1.5, '5', null])('%j is no timeout', (value) => {
  expect(() => timeoutMs.decode(value)).toThrow('Invalid parameters');
});
