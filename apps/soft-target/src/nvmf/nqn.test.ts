import { expect, test } from 'vitest';
import { isNqn } from './nqn.js';

test.each([
  'nqn.2014-08.org.nvmexpress.discovery',
  'nqn.2014-08.org.nvmexpress:uuid:6c1e7a40-8f5d-4f0c-9d7a-2f4c8a1b3e55',
  'nqn.2026-01.io.lariat:vol-abc',
  'nqn.2026-01.io.la-ri4t:a:b c',
  'nqn.2026-01.IO.Lariat:Volume',
  `nqn.2026-01.io:${'x'.repeat(223 - 15)}`,
])('%s is an NQN', (text) => {
  expect(isNqn(text)).toBe(true);
});

test.each([
  '',
  'volume',
  'nqn.2026-1.io.lariat:v',
  'NQN.2026-01.io.lariat:v',
  'nqn.2026-01.io.lariat:a\0b',
  'nqn.2026-01.io.lariat',
  'nqn.2026-01.io.lariat:',
  'nqn.2026-01.4io:v',
  'nqn.2026-01.io-:v',
  'nqn.2026-01.io..lariat:v',
  'nqn.2014-08.org.nvmexpress:uuid:6c1e7a40',
  `nqn.2026-01.io:${'x'.repeat(224 - 15)}`,
])('%s is none', (text) => {
  expect(isNqn(text)).toBe(false);
});
