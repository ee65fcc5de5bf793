import { toLariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { ExtentTally, parseExtentLine } from './qemu-map.js';

describe('a line of the map', () => {
  it('is an extent, or a bracket', () => {
    const text =
      '"start": 0, "length": 512, "depth": 0, "present": true, "zero": false, "data": true';
    const extent = { start: 0, length: 512, data: true, offset: null };
    expect(parseExtentLine(`[{ ${text}},`)).toEqual(extent);
    expect(parseExtentLine(`{ ${text}, "offset": 9}]`)).toEqual({ ...extent, offset: 9 });
    expect(parseExtentLine(']')).toBeNull();
    expect(parseExtentLine('[]')).toBeNull();
  });

  it('with data that reads as zeros holds none', () => {
    const line = '{ "start": 0, "length": 512, "zero": true, "data": true, "offset": 1}';
    expect(parseExtentLine(line)?.data).toBe(false);
  });

  it.each([
    '{',
    '{"start": -1, "length": 1, "data": true}',
    '{"start": 1e300, "length": 1, "data": true}',
    '{"start": 0, "length": 1}',
  ])('like %s is refused', (line) => {
    expect(() => parseExtentLine(line)).toThrow(expect.objectContaining({ code: 'IMAGE_CORRUPT' }));
  });
});

describe('the extents of an image', () => {
  const verdict = (
    extents: readonly (readonly [number, number, number | null])[],
    sizes = { fileBytes: 1000, virtualBytes: 2000 },
  ): string => {
    const tally = new ExtentTally(sizes.fileBytes, sizes.virtualBytes);
    try {
      for (const [start, length, offset] of extents)
        tally.add({ start, length, offset, data: true });
      tally.finish();
      return 'good';
    } catch (reason) {
      return toLariatError(reason).code;
    }
  };

  it.each([
    [
      'good',
      [
        [0, 1000, 0],
        [1000, 1000, null],
      ],
    ],
    ['good', [[0, 2000, null]]],
    ['IMAGE_CORRUPT', [[0, 1000, 0]]],
    ['IMAGE_CORRUPT', []],
    ['IMAGE_CORRUPT', [[0, 2001, null]]],
    ['IMAGE_CORRUPT', [[1, 1999, null]]],
    [
      'IMAGE_CORRUPT',
      [
        [0, 1000, null],
        [500, 1500, null],
      ],
    ],
    [
      'IMAGE_CORRUPT',
      [
        [0, 600, 0],
        [600, 600, 0],
        [1200, 800, null],
      ],
    ],
    [
      'IMAGE_TRUNCATED',
      [
        [0, 100, 901],
        [100, 1900, null],
      ],
    ],
    [
      'IMAGE_TRUNCATED',
      [
        [0, 100, 1000],
        [100, 1900, null],
      ],
    ],
  ] as const)('are %s: %o', (code, extents) => {
    expect(verdict(extents)).toBe(code);
  });
});
