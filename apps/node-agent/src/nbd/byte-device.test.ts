import { MemoryBlockDevice } from '@lariat/nvme-tcp';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteDevice } from './byte-device.js';

const BLOCK = 512;
const SIZE = 16 * BLOCK;

const range = fc
  .tuple(fc.nat(SIZE - 1), fc.nat(SIZE))
  .map(([from, length]) => ({ from, length: Math.max(1, Math.min(length, SIZE - from)) }));
const step = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    at: range,
    byte: fc.integer({ min: 1, max: 255 }),
  }),
  fc.record({ kind: fc.constant('zero' as const), at: range, byte: fc.constant(0) }),
);

const memory = (): ByteDevice =>
  new ByteDevice(new MemoryBlockDevice({ sizeBytes: SIZE, blockSizeBytes: BLOCK }));

test('writes at any byte change those bytes and no others, whatever runs beside them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(step, { maxLength: 6 }), { maxLength: 6 }),
      async (rounds) => {
        const device = memory();
        const expected = Buffer.alloc(SIZE);
        for (const round of rounds) {
          // Started together: overlapping ranges must take effect in this order.
          const running = round.map(({ kind, at, byte }) =>
            kind === 'write'
              ? device.write(at.from, Buffer.alloc(at.length, byte))
              : device.writeZeroes(at.from, at.length),
          );
          for (const { at, byte } of round) expected.fill(byte, at.from, at.from + at.length);
          await Promise.all(running);
          expect((await device.read(0, SIZE)).equals(expected)).toBe(true);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('reads at any byte', async () => {
  const device = memory();
  await device.write(510, Buffer.from('abcdef'));
  expect((await device.read(511, 4)).toString()).toBe('bcde');
});

test('a trim of less than a block does nothing', async () => {
  const device = memory();
  await device.write(0, Buffer.alloc(BLOCK * 2, 7));
  await device.trim(1, BLOCK);
  expect((await device.read(0, BLOCK * 2)).equals(Buffer.alloc(BLOCK * 2, 7))).toBe(true);
});

test('what nobody waits for any more when its turn comes is not begun, and what follows it is', async () => {
  const device = memory();
  let wanted = true;
  const isWanted = (): boolean => wanted;
  const first = device.write(0, Buffer.alloc(BLOCK, 1), isWanted);
  const queued = [
    device.write(0, Buffer.alloc(BLOCK, 2), isWanted),
    device.writeZeroes(0, BLOCK, isWanted),
    device.trim(0, BLOCK, isWanted),
  ];
  const other = device.write(BLOCK - 1, Buffer.alloc(1, 3));
  wanted = false;
  const outcomes = await Promise.allSettled([first, ...queued, other]);
  expect(outcomes.map(({ status }) => status)).toEqual([
    ...['rejected', 'rejected', 'rejected', 'rejected'],
    'fulfilled',
  ]);
  const read = await device.read(0, BLOCK);
  expect(read.equals(Buffer.concat([Buffer.alloc(BLOCK - 1), Buffer.alloc(1, 3)]))).toBe(true);
});
