import type { NodeRecord } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { nodeWithDisk } from '../adapters/allocation-store.test-support.js';
import { withDuty } from './node-duty.js';

const open = nodeWithDisk('n1', 100);

describe('what an operator wants of a node', () => {
  it('is a cordon and its end, and what it is already leaves the very record', () => {
    const cordoned = withDuty(open, { event: 'cordon' });
    expect(cordoned).toMatchObject({ duty: 'cordoned', schedulable: false });
    expect(withDuty(cordoned, { event: 'cordon' })).toBe(cordoned);
    expect(withDuty(cordoned, { event: 'uncordon' })).toMatchObject({
      ...{ duty: 'open', schedulable: true },
    });
    expect(withDuty(open, { event: 'uncordon' })).toBe(open);
  });

  it('is read from records that know of no duty but whether they take new things', () => {
    const old: NodeRecord = { ...open, schedulable: false };
    expect(withDuty(old, { event: 'uncordon' })).toMatchObject({ duty: 'open' });
  });

  it('is a drain that its own operation ends', () => {
    const draining = withDuty(open, { event: 'drain', operation: 'op-1' });
    expect(draining).toMatchObject({ duty: 'draining', drain: 'op-1', schedulable: false });
    expect(withDuty(draining, { event: 'drained', operation: 'op-2' })).toBe(draining);
    expect(withDuty(draining, { event: 'drained', operation: 'op-1' }).duty).toBe('drained');
    expect(withDuty(draining, { event: 'drain-ended', operation: 'op-1' }).duty).toBe('cordoned');
  });

  it('is not taken back by a drain that ends late, once the node is open again', () => {
    const draining = withDuty(open, { event: 'drain', operation: 'op-1' });
    const opened = withDuty(draining, { event: 'uncordon' });
    expect(withDuty(opened, { event: 'drain-ended', operation: 'op-1' })).toBe(opened);
    const again = withDuty(opened, { event: 'drain', operation: 'op-2' });
    expect(withDuty(again, { event: 'drained', operation: 'op-1' })).toBe(again);
  });
});
