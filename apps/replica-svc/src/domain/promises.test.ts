import type { AllocationRecord, CapacityLease } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import {
  settledOn,
  withPromises,
  withRestored,
  withSizes,
  withoutLeases,
  withoutPromises,
} from './promises.js';
import { replicaOn } from './volume.test-support.js';

const lease = (token: string): CapacityLease => ({ volume: 'vol-1', token, expiresAtMs: 1 });
const record = (given: Partial<AllocationRecord> = {}): AllocationRecord => ({
  disk: 'd',
  node: 'n',
  replicas: { a: 10, b: 20 },
  leases: { a: lease('one') },
  ...given,
});

describe('a promise', () => {
  it('is made with a lease, and keeps its size when the lease is renewed', () => {
    const made = withPromises(record(), [
      { replica: 'c', sizeBytes: 5, lease: lease('two') },
      { replica: 'a', sizeBytes: 99, lease: lease('two') },
    ]);
    expect(made.replicas).toEqual({ a: 10, b: 20, c: 5 });
    expect(made.leases).toEqual({ a: lease('two'), c: lease('two') });
  });

  it('of bytes that are there is put back whether it fits or not, never made smaller, and once', () => {
    const asked = [
      { replica: 'a', sizeBytes: 9, lease: lease('two') },
      { replica: 'b', sizeBytes: 30, lease: lease('two') },
      { replica: 'c', sizeBytes: 5, lease: lease('two') },
    ];
    const restored = withRestored(record(), asked);
    expect(restored.replicas).toEqual({ a: 10, b: 30, c: 5 });
    expect(restored.leases).toEqual({ a: lease('one'), b: lease('two'), c: lease('two') });
    expect(withRestored(restored, asked)).toBe(restored);
  });

  it('is taken back with its lease, but not one that another request has renewed', () => {
    const mine = (held: CapacityLease | undefined): boolean => held?.token === 'one';
    expect(withoutPromises(record(), ['a', 'b', 'x'], mine)).toEqual(
      record({ replicas: { b: 20 }, leases: {} }),
    );
    const same = record({ leases: { a: lease('two') } });
    expect(withoutPromises(same, ['a'], mine)).toBe(same);
    expect(withoutPromises(record(), ['a', 'b']).replicas).toEqual({});
  });

  it('stays when its lease is settled', () => {
    expect(withoutLeases(record(), ['a'])).toEqual(record({ leases: {} }));
    const same = record();
    expect(withoutLeases(same, ['b'])).toBe(same);
  });

  it('needs no lease any more where its volume has the replica on that disk', () => {
    const leases = { a: lease('one'), b: lease('two'), c: { ...lease('three'), volume: 'vol-2' } };
    const held = record({ replicas: { a: 1, b: 1, c: 1 }, leases });
    const volume = {
      replicas: [replicaOn('a', 'n', { disk: 'd' }), replicaOn('b', 'n', { disk: 'another' })],
    };
    expect(settledOn(held, (id) => (id === 'vol-1' ? volume : undefined))).toEqual(['a']);
    expect(settledOn(held, () => undefined)).toEqual([]);
    expect(settledOn(record({ leases: {} }), () => volume)).toEqual([]);
  });

  const resize = (sizes: Readonly<Record<string, number>>, limitBytes: number) =>
    withSizes(record(), new Map(Object.entries(sizes)), limitBytes).replicas;

  it.each([
    ['grows to the limit', { a: 30 }, 50, { a: 30, b: 20 }],
    ['shrinks below a limit that was lowered', { a: 9 }, 20, { a: 9, b: 20 }],
    ['grows for one while it shrinks for another', { a: 25, b: 5 }, 30, { a: 25, b: 5 }],
    ['is not made by growing', { x: 5 }, 50, { a: 10, b: 20 }],
  ] as const)('%s', (_title, sizes, limitBytes, expected) => {
    expect(resize(sizes, limitBytes)).toEqual(expected);
  });

  it.each([
    ['past the limit', { a: 31 }, 50],
    ['at all below a limit that was lowered', { a: 11 }, 20],
  ] as const)('does not grow %s', (_title, sizes, limitBytes) => {
    expect(() => resize(sizes, limitBytes)).toThrow(/more are needed/);
  });
});
