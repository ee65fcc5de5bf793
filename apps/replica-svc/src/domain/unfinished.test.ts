import type { AllocationRecord, CapacityLease } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { withoutUnfinished } from './unfinished.js';

const lease = (token: string, places?: number): CapacityLease => ({
  ...{ volume: 'vol-1', token, expiresAtMs: 1 },
  ...(places === undefined ? {} : { places }),
});
const record = (
  disk: string,
  leases: Readonly<Record<string, CapacityLease>>,
): AllocationRecord => ({
  ...{ disk, node: 'n', leases },
  replicas: { settled: 1, ...Object.fromEntries(Object.keys(leases).map((id) => [id, 10])) },
});
const replicasOf = (records: readonly AllocationRecord[]) =>
  withoutUnfinished(records).map(({ replicas }) => Object.keys(replicas));

describe('requests that have some of their places only', () => {
  it('are left out, and those that have all are not', () => {
    const records = [
      record('d1', { 'whole-a': lease('whole', 2), 'half-a': lease('half', 2) }),
      record('d2', { 'whole-b': lease('whole', 2), single: lease('one', 1) }),
    ];
    expect(replicasOf(records)).toEqual([
      ['settled', 'whole-a'],
      ['settled', 'whole-b', 'single'],
    ]);
  });

  it('are not known by a lease that does not say, and no lease is no request', () => {
    const records = [record('d1', { restored: lease('old') }), record('d2', {})];
    expect(withoutUnfinished(records)).toEqual(records);
  });
});
