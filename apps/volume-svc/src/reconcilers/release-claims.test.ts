import type { OperationState, VolumeChange, VolumeRecord } from '@lariat/contracts';
import { ReconcileCounts } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { newVolumeRecord } from '../domain/volume-record.test-support.js';
import { isLeft, releaseClaimsOnce } from './release-claims.js';

describe('a volume that an operation holds', () => {
  let nowMs: number;
  let record: VolumeRecord;
  let state: OperationState | undefined;
  let released: string[];
  let counts: ReconcileCounts;
  let since: Map<string, number>;

  beforeEach(() => {
    nowMs = 0;
    record = newVolumeRecord({ operation: 'op-1' });
    state = undefined;
    released = [];
    counts = new ReconcileCounts();
    since = new Map();
  });

  /** Rounds, one every 10 s. */
  async function pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second += 10) {
      nowMs += 10_000;
      const volumes = {
        list: () => [record],
        change: (_id: string, operation: string, changes: readonly VolumeChange[]) => {
          released.push(`${operation}: ${changes.map(({ type }) => type).join()}`);
          return Promise.resolve(record);
        },
      };
      const operations = {
        find: () => Promise.resolve(state === undefined ? undefined : { value: { state } }),
      };
      const clock = { monotonicMs: () => nowMs };
      const log = { warn: () => undefined };
      const deps = { volumes, operations, clock, counts, log };
      await releaseClaimsOnce(deps as never, since);
    }
  }

  it('is let go when that is not on record for a while', async () => {
    await pass(30);
    expect(released).toEqual([]);
    await pass(10);
    expect(released).toEqual(['op-1: release']);
    expect(counts.view()).toEqual({ claims: { looks: 4, repairs: 1 } });
  });

  it('stays held while the operation runs, or the next one has it', async () => {
    state = 'running';
    await pass(100);
    for (const operation of ['op-2', 'op-3', 'op-4', null]) {
      state = undefined;
      record = newVolumeRecord({ operation });
      await pass(30);
    }
    await pass(100);
    expect(released).toEqual([]);
    expect(counts.view().claims?.repairs).toBe(0);
  });

  it('stays held when it is in doubt: a recovery decides', async () => {
    record = newVolumeRecord({ operation: 'op-1', inDoubt: ['why'] });
    await pass(100);
    expect(released).toEqual([]);
  });

  it.each<[VolumeRecord['state'], OperationState | undefined, boolean]>([
    ['detached', undefined, true],
    ['creating', undefined, true],
    ['detached', 'succeeded', true],
    ['attached', 'failed', true],
    ['attaching', 'failed', false],
    ['detached', 'stuck', false],
    ['detached', 'undoing', false],
    ['detached', 'running', false],
  ])('is left, %s, by an operation that is %s: %s', (volume, operation, left) => {
    expect(isLeft(newVolumeRecord({ state: volume }), operation)).toBe(left);
  });
});
