import fc from 'fast-check';
import { expect, it } from 'vitest';
import { judgeChecksums } from './judge-checksums.js';

const sumsOf = (text: string) =>
  Array.from(text, (sha256, at) => ({ replica: `r${at}`, node: `n${at}`, sha256 }));
const told = (text: string, recorded?: string): unknown => {
  const verdict = judgeChecksums(sumsOf(text), recorded);
  return verdict.kind === 'odd' ? verdict.odd.map(({ replica }) => replica) : verdict.kind;
};

it.each([
  ['aaa', undefined, 'identical'],
  ['a', undefined, 'identical'],
  ['aab', undefined, ['r2']],
  ['abaca', undefined, ['r1', 'r3']],
  ['ab', undefined, 'undecided'],
  ['abc', undefined, 'undecided'],
  ['aabb', undefined, 'undecided'],
  ['aabc', undefined, 'undecided'],
  ['', undefined, 'undecided'],
  ['aaa', 'a', 'identical'],
  // What was found before outweighs any number of copies that have changed since.
  ['bba', 'a', ['r0', 'r1']],
  ['ab', 'a', ['r1']],
  ['b', 'a', 'undecided'],
  ['bbb', 'a', 'undecided'],
])('%s, found before: %s', (text, recorded, expected) => {
  expect(told(text, recorded)).toEqual(expected);
});

it('takes one copy alone for no proof of itself', () => {
  expect(judgeChecksums(sumsOf('a'), undefined)).toMatchObject({ isProven: false });
  expect(judgeChecksums(sumsOf('a'), 'a')).toMatchObject({ isProven: true });
  expect(judgeChecksums(sumsOf('aa'), undefined)).toMatchObject({ isProven: true });
});

it('never gives up so many that none is left, nor one that agrees with what is right', () => {
  const text = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 5 });
  fc.assert(
    fc.property(text, fc.option(fc.constantFrom('a', 'b'), { nil: undefined }), (given, before) => {
      const sums = sumsOf(given.join(''));
      const verdict = judgeChecksums(sums, before);
      if (verdict.kind !== 'odd') return;
      expect(verdict.odd.length).toBeLessThan(sums.length);
      expect(verdict.odd.some(({ sha256 }) => sha256 === verdict.sha256)).toBe(false);
      // Without a checksum that was found before they are the smaller part.
      const most = before === undefined ? (sums.length - 1) / 2 : sums.length - 1;
      expect(verdict.odd.length).toBeLessThanOrEqual(most);
    }),
  );
});
