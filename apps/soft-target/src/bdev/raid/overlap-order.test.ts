import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OverlapOrder } from './overlap-order.js';

/** An I/O that runs until it is told to end. */
function io(): { readonly run: () => Promise<void>; hasBegun: boolean; end: () => void } {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const self = {
    hasBegun: false,
    end,
    run: (): Promise<void> => {
      self.hasBegun = true;
      return ended;
    },
  };
  return self;
}

test('writes on the same blocks follow each other, others run side by side', async () => {
  const order = new OverlapOrder();
  const [first, second, apart] = [io(), io(), io()];
  const all = [
    order.write(0, 1024, first.run),
    order.write(512, 1024, second.run),
    order.write(1536, 512, apart.run),
  ];
  expect([first, second, apart].map(({ hasBegun }) => hasBegun)).toEqual([true, false, true]);
  first.end();
  await turn();
  expect(second.hasBegun).toBe(true);
  second.end();
  apart.end();
  await Promise.all(all);
});

test('a read waits for the writes that it overlaps, and a write waits for no read', async () => {
  const order = new OverlapOrder();
  const [write, late, reader, beside] = [io(), io(), io(), io()];
  const writing = order.write(0, 512, write.run);
  const reading = order.read(0, 4096, reader.run);
  const other = order.read(512, 512, beside.run);
  expect([reader.hasBegun, beside.hasBegun]).toEqual([false, true]);
  write.end();
  await writing;
  await turn();
  expect(reader.hasBegun).toBe(true);
  const lateWriting = order.write(0, 512, late.run);
  expect(late.hasBegun).toBe(true);
  for (const { end } of [late, reader, beside]) end();
  await Promise.all([reading, other, lateWriting]);
});

test('a write that fails lets the next one go', async () => {
  const order = new OverlapOrder();
  const failing = order.write(0, 512, () => Promise.reject(new Error('media')));
  const next = io();
  const going = order.write(0, 512, next.run);
  await expect(failing).rejects.toThrow('media');
  await turn();
  expect(next.hasBegun).toBe(true);
  next.end();
  await going;
});

test('two copies hold the same after any writes, and reads of either never go back', async () => {
  const step = fc.record({
    kind: fc.constantFrom('write' as const, 'read' as const),
    block: fc.nat(2),
    blocks: fc.integer({ min: 1, max: 2 }),
    copy: fc.nat(1),
    turns: fc.tuple(fc.nat(4), fc.nat(4)),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const order = new OverlapOrder();
      const copies = [
        [0, 0, 0, 0],
        [0, 0, 0, 0],
      ];
      const wait = async (turns: number): Promise<void> => {
        for (let left = turns; left > 0; left -= 1) await turn();
      };
      const newest = [0, 0, 0, 0];
      const wentBack: string[] = [];
      const running = steps.map(async ({ kind, block, blocks, copy, turns }, index) => {
        if (kind === 'write') {
          await order.write(block, blocks, async () => {
            await Promise.all(
              copies.map(async (content, at) => {
                await wait(turns[at] ?? 0);
                content.fill(index + 1, block, block + blocks);
              }),
            );
          });
          return;
        }
        const before = newest[block] ?? 0;
        await order.read(block, 1, async () => {
          await wait(turns[0]);
          const found = copies[copy]?.[block] ?? 0;
          // Writes of one block follow each other in the order of their numbers.
          if (found < before) wentBack.push(`read ${index} found ${found} after ${before}`);
          newest[block] = Math.max(newest[block] ?? 0, found);
        });
      });
      await Promise.all(running);
      expect(copies[0]).toEqual(copies[1]);
      expect(wentBack).toEqual([]);
    }),
    { numRuns: 200 },
  );
});
