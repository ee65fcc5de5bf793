import { METRICS, type Metrics, NO_METRICS } from '@lariat/telemetry';
import { expect, it } from 'vitest';
import { meteredCopies } from './metered-copies.js';

const MIB = 1024 * 1024;

function run(command: string, unit: 'clusters' | 'bytes', dones: readonly number[]) {
  const added: number[] = [];
  const told: number[] = [];
  const metrics: Metrics = {
    ...NO_METRICS,
    add: (metric, attributes, by = 1) => {
      expect([metric, attributes]).toEqual([METRICS.rebuildBytes, { 'node.id': 'n1' }]);
      added.push(by);
    },
  };
  const progress = meteredCopies(metrics, 'n1', command, (done) => told.push(done));
  for (const done of dones) progress(done, 10, unit);
  return { added, told };
}

it('counts what a rebuild has copied since it was last told, and tells it on', () =>
  expect(run('rebuild.copy-snapshot', 'clusters', [2, 2, 5])).toEqual({
    added: [2 * MIB, 3 * MIB],
    told: [2, 2, 5],
  }));

it.each([
  ['snapshot.checksum', 'bytes'],
  ['image.fetch', 'clusters'],
  ['rebuild.read-digests', 'bytes'],
] as const)('counts nothing of %s in %s', (command, unit) =>
  expect(run(command, unit, [2, 5])).toEqual({ added: [], told: [2, 5] }),
);
