import type { VolumeRecord } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { applyVolumeChanges } from './apply-change.js';
import { findStrayVolumeCopies, isWorthKeeping, keepersOf, witnessesOf } from './record-copies.js';
import { newReplica, newVolumeRecord } from './volume-record.test-support.js';

describe('copies of a record', () => {
  it('belong on the nodes of all replicas and of the engine; the in-sync ones bear witness', () => {
    const record = newVolumeRecord({
      replicas: [
        newReplica('r1', 'n1'),
        { ...newReplica('r2', 'n2'), mode: 'ERR' },
        { ...newReplica('r3', 'n3'), mode: 'WO' },
      ],
      attachment: {
        epoch: 1,
        node: 'n4',
        frontend: 'nbd',
        endpoint: null,
        engine: null,
        seizedFrom: null,
        inSync: ['r1'],
      },
    });
    expect(keepersOf(record)).toEqual(['n1', 'n2', 'n3', 'n4']);
    expect(witnessesOf(record)).toEqual(['n1']);
    const three = newVolumeRecord({});
    // Who is put on record by the change is unknown to whoever has missed it.
    expect(witnessesOf(three, ['r3'])).toEqual(['n1', 'n2']);
    expect(witnessesOf(three, ['r1', 'r2', 'r3'])).toEqual(['n1', 'n2', 'n3']);
  });

  it.each<[string, Partial<VolumeRecord>, boolean]>([
    ['an operation has ended', { operation: null, epoch: 2 }, true],
    ['a replica has left', { operation: 'op', replicas: [] }, true],
    ['an engine may write', { operation: 'op', clean: false }, true],
    ['it is to be formatted', { operation: 'op', content: { state: 'foreign' } }, true],
    ['it is to be deleted', { operation: 'op', state: 'deleting' }, true],
    ['an operation has claimed it', { operation: 'op' }, false],
    ['it is being made', { state: 'creating' }, false],
    ['it is in doubt', { inDoubt: ['why'] }, false],
  ])('follow at once when %s: %j is %s', (_when, given, expected) => {
    const before = newVolumeRecord({});
    expect(isWorthKeeping(before, { ...before, ...given })).toBe(expected);
  });

  it('are behind or ahead of the record by what a node says', () => {
    const record = newVolumeRecord({ revision: 5 });
    const seen = (held: number | null, given: Partial<VolumeRecord> = {}) =>
      findStrayVolumeCopies(
        {
          node: 'n1',
          replicas: [
            {
              replica: 'r1',
              volume: record.id,
              record: held === null ? null : { generation: 0, revision: held },
            },
          ],
        },
        () => ({ ...record, ...given }),
      ).map(({ is }) => is);
    expect(seen(null)).toEqual(['behind']);
    expect(seen(4)).toEqual(['behind']);
    expect(seen(4, { operation: 'op' })).toEqual([]);
    expect(seen(4, { replicas: [] })).toEqual([]);
    expect(seen(5)).toEqual([]);
    expect(seen(6)).toEqual(['ahead']);
    expect(seen(6, { operation: 'op' })).toEqual(['ahead']);
    expect(seen(6, { generation: 1, revision: 1 })).toEqual(['behind']);
    expect(seen(6, { inDoubt: ['why'] })).toEqual([]);
  });
});

describe('a volume in doubt', () => {
  const doubtful = newVolumeRecord({ inDoubt: ['node n3 does not answer'] });
  const codeOf = (...changes: Parameters<typeof applyVolumeChanges>[2]): string => {
    try {
      applyVolumeChanges(doubtful, 'op', changes);
    } catch (error) {
      return toLariatError(error).code;
    }
    return 'accepted';
  };

  it('is given to no operation but a delete', () => {
    const claim = { type: 'claim', operation: 'op' } as const;
    expect(codeOf(claim)).toBe('VOLUME_IN_DOUBT');
    expect(codeOf(claim, { type: 'transition', event: 'attach' })).toBe('VOLUME_IN_DOUBT');
    expect(codeOf(claim, { type: 'transition', event: 'delete' })).toBe('accepted');
  });

  it('lets go of the operation that held it when the doubt came', () => {
    const held = { ...doubtful, operation: 'op' };
    const { record } = applyVolumeChanges(held, 'op', [{ type: 'release', operation: 'op' }]);
    expect(record.operation).toBeNull();
  });
});
