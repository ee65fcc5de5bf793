import { describe, expect, it } from 'vitest';
import { type ItemChange, changesBetween, watchList } from './watch-list.js';

interface Item {
  readonly id: string;
  readonly state: string;
}

const keyOf = ({ id }: Item): string => id;
const item = (id: string, state = 'a'): Item => ({ id, state });

describe('what changes in a list', () => {
  it('is what came, what is otherwise, and what went', () => {
    const before = [item('1'), item('2'), item('3')];
    const after = [item('0'), item('1'), item('3', 'b')];
    expect(changesBetween(before, after, keyOf)).toEqual([
      { type: 'listed', item: item('0') },
      { type: 'changed', item: item('3', 'b') },
      { type: 'gone', item: item('2') },
    ]);
    expect(changesBetween(after, after, keyOf)).toEqual([]);
  });

  it('is shown once for many events in a row, and never missed', async () => {
    let state = 0;
    let reads = 0;
    const shown: (readonly ItemChange<Item>[])[] = [];
    async function* events(): AsyncGenerator<number> {
      for (let count = 0; count < 100; count += 1) {
        state += 1;
        yield state;
        if (count % 10 === 0)
          await new Promise((resolve) => {
            setImmediate(resolve);
          });
      }
    }
    await watchList<Item>({
      events: events(),
      read: () => {
        reads += 1;
        return Promise.resolve([item('1', String(state))]);
      },
      keyOf,
      show: (changes) => shown.push(changes),
      pause: () =>
        new Promise((resolve) => {
          setImmediate(resolve);
        }),
    });
    expect(shown[0]).toEqual([{ type: 'listed', item: item('1', '0') }]);
    expect(shown.at(-1)).toEqual([{ type: 'changed', item: item('1', '100') }]);
    expect(reads).toBeLessThan(100);
  });

  it('ends with the error of a look', async () => {
    let reads = 0;
    async function* events(): AsyncGenerator<number> {
      for (let count = 0; ; count += 1) {
        yield count;
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
    }
    const watching = watchList<Item>({
      events: events(),
      read: () => {
        reads += 1;
        return reads < 3 ? Promise.resolve([]) : Promise.reject(new Error('gone away'));
      },
      keyOf,
      show: () => undefined,
      pause: () => Promise.resolve(),
    });
    await expect(watching).rejects.toThrow('gone away');
  });
});
