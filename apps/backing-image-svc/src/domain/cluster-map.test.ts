import fc from 'fast-check';
import { MIB } from '@lariat/kernel';
import { expect, it } from 'vitest';
import { ClusterMap } from './cluster-map.js';

it('gives runs that are the clusters that were marked', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100 }), fc.array(fc.nat(120)), (clusters, marked) => {
      const map = new ClusterMap(clusters);
      for (const cluster of marked) map.mark(cluster);
      const expected = Array.from({ length: clusters }, (_, at) => marked.includes(at));
      const runs = [...map.runs()];
      expect(runs.flatMap(({ count, isData }) => Array<boolean>(count).fill(isData))).toEqual(
        expected,
      );
      expect(runs.map(({ first }) => first)).toEqual(
        runs.map((_, at) => runs.slice(0, at).reduce((sum, { count }) => sum + count, 0)),
      );
      for (const [at, run] of runs.entries()) expect(runs[at + 1]?.isData).not.toBe(run.isData);
      expect(map.dataClusters).toBe(expected.filter(Boolean).length);
    }),
  );
});

it.each([
  [0, 1, [0]],
  [MIB - 1, 1, [0]],
  [MIB - 1, 2, [0, 1]],
  [MIB, 2 * MIB, [1, 2]],
  [5, 0, []],
])('marks what bytes %i and %i on touch', (offset, length, clusters) => {
  const map = ClusterMap.ofSize(4 * MIB - 7);
  map.markBytes(offset, length);
  expect([0, 1, 2, 3, 4].filter((cluster) => map.isData(cluster))).toEqual(clusters);
});
