import { type AllocationRecord, hasCode } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { disksOf } from './disk-state.js';
import { withImageCopy, withPromises, withSizes, withoutImageCopy } from './promises.js';
import { diskNamed, readyNode } from './volume.test-support.js';

const LIMIT_BYTES = 100;
const empty: AllocationRecord = { disk: 'd1', node: 'n1', replicas: {} };
const copy = { image: 'img-1', sizeBytes: 30 };
const lease = { volume: 'vol-1', token: 't', expiresAtMs: 1 };

const codeOf = (work: () => unknown): boolean => {
  try {
    work();
    return false;
  } catch (error) {
    return hasCode(error, 'NO_CAPACITY');
  }
};

describe('room for a copy of an image', () => {
  it('is promised once, and counts on its disk as replicas do', () => {
    const promised = withImageCopy(empty, copy, LIMIT_BYTES);
    expect(promised.images).toEqual({ 'img-1': 30 });
    expect(withImageCopy(promised, copy, LIMIT_BYTES)).toBe(promised);
    const both = withPromises(promised, [{ replica: 'r1', sizeBytes: 50, lease }]);
    const node = readyNode('n1', { disks: [{ ...diskNamed('d1'), capacityBytes: LIMIT_BYTES }] });
    expect(disksOf(node, () => both)).toMatchObject([{ scheduledBytes: 80 }]);
    expect(codeOf(() => withSizes(both, new Map([['r1', 71]]), LIMIT_BYTES))).toBe(true);
    expect(withSizes(both, new Map([['r1', 70]]), LIMIT_BYTES).replicas).toEqual({ r1: 70 });
  });

  it('is refused where it does not fit, unless the copy is there', () => {
    const full = withPromises(empty, [{ replica: 'r1', sizeBytes: 71, lease }]);
    expect(codeOf(() => withImageCopy(full, copy, LIMIT_BYTES))).toBe(true);
    expect(withImageCopy(full, copy, LIMIT_BYTES, true).images).toEqual({ 'img-1': 30 });
    const fits = withPromises(empty, [{ replica: 'r1', sizeBytes: 70, lease }]);
    expect(withImageCopy(fits, copy, LIMIT_BYTES).images).toEqual({ 'img-1': 30 });
  });

  it('goes back, and leaves what others have', () => {
    const two = withImageCopy(
      withImageCopy(empty, copy, LIMIT_BYTES),
      { ...copy, image: 'i2' },
      LIMIT_BYTES,
    );
    expect(withoutImageCopy(two, 'img-1').images).toEqual({ i2: 30 });
    expect(withoutImageCopy(withoutImageCopy(two, 'img-1'), 'i2')).toEqual(empty);
    expect(withoutImageCopy(empty, 'img-1')).toBe(empty);
  });
});
