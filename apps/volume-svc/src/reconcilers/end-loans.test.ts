import type { CloneRecord, OperationState, VolumeRecord } from '@lariat/contracts';
import { ReconcileCounts } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { newVolumeRecord } from '../domain/volume-record.test-support.js';
import { type EndLoansDeps, endLoansOnce } from './end-loans.js';

const loan: CloneRecord = {
  ...{ kind: 'image', volume: 'img-1', name: 'gold', snapshot: 's', state: 'creating' },
  operation: 'op-1',
};
const clone: CloneRecord = {
  ...{ volume: 'vol-c', name: 'c', snapshot: 's', state: 'creating', operation: 'op-2' },
};

let nowMs: number;
let operations: Map<string, OperationState>;
let dropped: unknown[];
let counts: ReconcileCounts;
let since: Map<string, number>;
beforeEach(() => {
  nowMs = 0;
  operations = new Map();
  dropped = [];
  counts = new ReconcileCounts();
  since = new Map();
});

const record = newVolumeRecord({ clones: [clone, loan] });
const round = (at: number, records: readonly VolumeRecord[] = [record]): Promise<void> => {
  nowMs = at;
  const deps = {
    volumes: {
      list: () => records,
      change: (...change: unknown[]) => {
        dropped.push(change);
        return Promise.resolve(record);
      },
    },
    operations: {
      find: (id: string) => {
        const state = operations.get(id);
        return Promise.resolve(state === undefined ? undefined : { value: { state } });
      },
    },
    clock: { monotonicMs: () => nowMs },
    log: { info: () => undefined, warn: () => undefined },
    counts,
  };
  return endLoansOnce(deps as unknown as EndLoansDeps, since);
};

describe('what was lent to an import', () => {
  it.each(['running', 'undoing'] as const)('stays while that is %s', async (state) => {
    operations.set('op-1', state);
    await round(0);
    await round(60_000);
    expect(dropped).toEqual([]);
  });

  it.each(['failed', 'succeeded', undefined] as const)(
    'is given back some time after that is %s, and a clone is none',
    async (state) => {
      if (state !== undefined) operations.set('op-1', state);
      await round(0);
      await round(29_000);
      expect(dropped).toEqual([]);
      await round(30_000);
      expect(dropped).toEqual([
        [record.id, null, [{ type: 'drop-clone', volume: 'img-1' }], 'volume-svc'],
      ]);
      expect(counts.view().loans).toMatchObject({ repairs: 1 });
    },
  );

  it('is waited for anew when it was given back, and lent again', async () => {
    await round(0);
    await round(20_000, [newVolumeRecord({})]);
    await round(31_000);
    expect(dropped).toEqual([]);
  });
});
