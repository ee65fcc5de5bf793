import { describe, expect, it } from 'vitest';
import { type IdleImageCopy, copiesToFree, copiesToFreeAll } from './idle-copies.js';

const copy = (image: string, disk: string, idleSinceMs: number, spare = 1): IdleImageCopy => ({
  ...{ image, disk, idleSinceMs, spare, node: 'n1', sizeBytes: 10 },
});

describe('the copies that give a disk room', () => {
  const [a, b, c] = [copy('img-a', 'd1', 2), copy('img-b', 'd1', 1), copy('img-c', 'd1', 3)];

  it('are those that were idle for the longest, and as many as it takes', () => {
    expect(copiesToFree([a, b, c], 'd1', 15)).toEqual({ copies: [b, a], freedBytes: 20 });
    expect(copiesToFree([a, b, c], 'd1', 99).freedBytes).toBe(30);
    expect(copiesToFree([a, b, c], 'd1', 0).copies).toEqual([]);
    expect(copiesToFree([a, b, c], 'd2', 5).copies).toEqual([]);
  });

  it('are no more than their image can spare, with those that go from elsewhere', () => {
    const there = copy('img-a', 'd2', 0);
    expect(copiesToFree([a, there], 'd1', 5, [there]).copies).toEqual([]);
    const spared = copy('img-a', 'd1', 2, 2);
    expect(copiesToFree([spared, there], 'd1', 5, [there]).copies).toEqual([spared]);
  });

  it('are found for all of the disks, or for none', () => {
    const there = copy('img-d', 'd2', 0);
    const lacking = (d1: number, d2: number) =>
      new Map([
        ['d1', d1],
        ['d2', d2],
      ]);
    expect(copiesToFreeAll([a, there], lacking(10, 10))).toEqual([a, there]);
    expect(copiesToFreeAll([a, there], lacking(10, 11))).toBeUndefined();
    expect(copiesToFreeAll([a, copy('img-a', 'd2', 0)], lacking(10, 10))).toBeUndefined();
  });
});
