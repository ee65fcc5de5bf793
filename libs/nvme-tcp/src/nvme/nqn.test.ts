import { expect, it } from 'vitest';
import { isValidNqn } from './nqn.js';

it.each([
  'nqn.2014-08.org.nvmexpress.discovery',
  'nqn.2026-01.io.lariat:a:b c',
  'nqn.2026-01.IO.Lariat:Volume',
  `nqn.2026-01.io:${'é'.repeat(104)}`,
])('%s is an NQN', (text) => {
  expect(isValidNqn(text)).toBe(true);
});

it.each([
  'NQN.2026-01.io.lariat:v',
  'nqn.2026-01.io.lariat:a\0b',
  'nqn.2026-01.io.lariat:',
  // 224 bytes in 120 characters.
  `nqn.2026-01.io:${'é'.repeat(104)}x`,
])('%j is none', (text) => {
  expect(isValidNqn(text)).toBe(false);
});
