import { expect, test } from 'vitest';
import { ByteBudget } from './byte-budget.js';

test('wakes those that wait once, when it is no longer spent', () => {
  const budget = new ByteBudget(100);
  const woken: string[] = [];
  const [a, b, c] = ['a', 'b', 'c'].map((name) => () => void woken.push(name));
  if (a === undefined || b === undefined || c === undefined) throw new Error('unreachable');
  budget.take(150);
  expect(budget.isSpent).toBe(true);
  for (const wake of [a, a, b, c]) budget.whenFree(wake);
  budget.forget(c);
  budget.give(50);
  expect(woken).toEqual([]);
  budget.give(1);
  expect(budget.isSpent).toBe(false);
  expect(woken).toEqual(['a', 'b']);
  budget.give(99);
  expect(woken).toEqual(['a', 'b']);
});

test('one that begins again as it is woken can make the next wait', () => {
  const budget = new ByteBudget(10);
  budget.take(10);
  const begun: string[] = [];
  const begin = (name: string) => (): void => {
    if (budget.isSpent) return budget.whenFree(begin(name));
    begun.push(name);
    budget.take(10);
  };
  budget.whenFree(begin('first'));
  budget.whenFree(begin('second'));
  budget.give(10);
  expect(begun).toEqual(['first']);
  budget.give(10);
  expect(begun).toEqual(['first', 'second']);
});
