import type { AllocationRecord, VolumeRecord } from '@lariat/contracts';
import { expect, it } from 'vitest';
import { comparePromises } from './compare-promises.js';
import { attachedVolume, replicaOn } from './volume.test-support.js';

const volume = (given: Partial<VolumeRecord> = {}): VolumeRecord =>
  attachedVolume({ sizeBytes: 8, replicas: [replicaOn('r1', 'n1', { disk: 'd1' })], ...given });
const promised = (replicas: AllocationRecord['replicas']): AllocationRecord => ({
  disk: 'd1',
  node: 'n1',
  replicas,
});
const compare = (
  allocation: AllocationRecord,
  record: VolumeRecord = volume(),
  disks: readonly string[] = ['d1'],
): ReturnType<typeof comparePromises> =>
  comparePromises([allocation], [record], (disk) => disks.includes(disk));

it('finds nothing where each replica has its promise', () => {
  expect(compare(promised({ r1: 8 }))).toEqual({ missing: [], unwanted: [] });
});

it.each([[{}], [{ r1: 4 }]])('finds the replica that is promised too little: %j', (replicas) => {
  expect(compare(promised(replicas)).missing).toMatchObject([{ replica: 'r1', sizeBytes: 8 }]);
});

it('asks nothing for a volume that an operation works on, or on a disk that no node has', () => {
  for (const record of [
    volume({ operation: 'op' }),
    volume({ state: 'deleting' }),
    volume({ inDoubt: ['why'] }),
  ])
    expect(compare(promised({}), record)).toEqual({ missing: [], unwanted: [] });
  expect(compare(promised({}), volume(), [])).toEqual({ missing: [], unwanted: [] });
});

it('finds what is promised to nobody, unless a lease will end it', () => {
  const left = promised({ r1: 8, gone: 8 });
  expect(compare(left).unwanted).toEqual([{ node: 'n1', disk: 'd1', replica: 'gone' }]);
  // Also of a volume that something works on: its record lists what it has.
  expect(compare(left, volume({ operation: 'op' })).unwanted).toHaveLength(1);
  const leases = { gone: { volume: 'v', token: 't', expiresAtMs: 0 } };
  expect(compare({ ...left, leases }).unwanted).toEqual([]);
});
