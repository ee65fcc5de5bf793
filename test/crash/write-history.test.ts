import { describe, expect, test } from 'vitest';
import { BLOCK_BYTES, blockContent } from './block-content.js';
import { WriteHistory } from './write-history.js';

const zeros = Buffer.alloc(BLOCK_BYTES);

describe('the history of a block', () => {
  test('allows zeros before the first write is acknowledged, and not after', () => {
    const history = new WriteHistory(1);
    const write = history.begin(0, 1, false);
    expect(history.violations(zeros, 'acknowledged')).toEqual([]);
    expect(history.violations(write.data, 'acknowledged')).toEqual([]);
    history.acknowledge(write);
    expect(history.violations(write.data, 'acknowledged')).toEqual([]);
    expect(history.violations(zeros, 'acknowledged')).toEqual(['block 0 holds zeros; allowed: 1']);
    expect(history.violations(zeros, 'flushed')).toEqual([]);
  });

  test('allows what was flushed and all that came later', () => {
    const history = new WriteHistory(1);
    const first = history.begin(0, 1, false);
    history.acknowledge(first);
    const covered = history.beginFlush();
    const second = history.begin(0, 1, false);
    history.acknowledge(second);
    history.flushed(covered);
    const third = history.begin(0, 1, false);
    for (const { data } of [second, third]) {
      expect(history.violations(data, 'flushed')).toEqual([]);
    }
    expect(history.violations(zeros, 'flushed')).toHaveLength(1);
  });

  test('is settled by what was found', () => {
    const history = new WriteHistory(2);
    const kept = history.begin(0, 2, false);
    history.acknowledge(kept);
    const lost = history.begin(0, 2, false);
    history.settle(kept.data, 'acknowledged');
    expect(history.violations(lost.data, 'acknowledged')).toHaveLength(2);
    expect(history.latest(1).equals(kept.data.subarray(BLOCK_BYTES))).toBe(true);
  });

  test('knows a torn block, a misplaced one and bytes of no write', () => {
    const history = new WriteHistory(2);
    const write = history.begin(0, 2, false);
    history.acknowledge(write);
    const torn = Buffer.from(write.data);
    torn.fill(0, 512, BLOCK_BYTES);
    expect(history.violations(torn, 'acknowledged')).toEqual([
      'block 0 holds write 1 of block 0, and bytes of no write; allowed: 1',
    ]);
    const misplaced = Buffer.concat([
      write.data.subarray(BLOCK_BYTES),
      write.data.subarray(BLOCK_BYTES),
    ]);
    expect(history.violations(misplaced, 'acknowledged')).toEqual([
      'block 0 holds write 1 of block 1; allowed: 1',
    ]);
    const foreign = Buffer.concat([
      Buffer.alloc(BLOCK_BYTES, 0xdb),
      blockContent(1, { sequence: 1, isZero: false }),
    ]);
    expect(history.violations(foreign, 'acknowledged')).toEqual([
      'block 0 holds bytes of no write (dbdbdbdbdbdbdbdb…); allowed: 1',
    ]);
  });
});
