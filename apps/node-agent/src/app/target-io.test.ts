import type { BdevIo } from '@lariat/spdk';
import { METRICS, type Metrics, NO_METRICS } from '@lariat/telemetry';
import { expect, it } from 'vitest';
import { aioName } from '../domain/names.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import { observeTargetIo } from './target-io.js';

const io = (name: string, readBytes: number): BdevIo => ({
  ...{ name, readBytes, writtenBytes: 7, reads: 1, writes: 2, readSeconds: 0.5, writeSeconds: 1 },
});

it('tells of engines by volume and of disks, by one call of the target, and not of what it lacks', async () => {
  const readings = new Map<string, () => unknown>();
  const metrics: Metrics = {
    ...NO_METRICS,
    observe: (metric, read) => {
      readings.set(metric.name, read);
      return () => undefined;
    },
  };
  const owned = {
    raid: [
      { name: 'raid-1', owner: 'vol-1', volume: 'vol-1' },
      { name: 'raid-gone', owner: 'vol-2', volume: 'vol-2' },
    ],
    disk: [{ name: 'disk-1', owner: 'disk-1' }],
  };
  let calls = 0;
  const ioStats = (): Promise<readonly BdevIo[]> => {
    calls += 1;
    return Promise.resolve([io('raid-1', 5), io(aioName('disk-1'), 3), io('lvol', 1)]);
  };
  observeTargetIo({
    node: 'n1',
    journal: { ownedOfKind: (kind: 'raid' | 'disk') => owned[kind] } as unknown as JournalPort,
    target: { spdk: () => ({ bdev: { ioStats } }) } as unknown as TargetPort,
    metrics,
  });
  const read = (metric: { readonly name: string }): unknown => readings.get(metric.name)?.();
  const ofVolume = (direction: string, value: number) => ({
    attributes: { 'node.id': 'n1', 'volume.id': 'vol-1', direction },
    value,
  });
  expect(await read(METRICS.volumeIo)).toEqual([ofVolume('read', 5), ofVolume('write', 7)]);
  expect(await read(METRICS.volumeOperations)).toEqual([ofVolume('read', 1), ofVolume('write', 2)]);
  expect(await read(METRICS.volumeIoTime)).toEqual([ofVolume('read', 0.5), ofVolume('write', 1)]);
  expect(await read(METRICS.diskIo)).toEqual([
    { attributes: { 'node.id': 'n1', 'disk.id': 'disk-1', direction: 'read' }, value: 3 },
    { attributes: { 'node.id': 'n1', 'disk.id': 'disk-1', direction: 'write' }, value: 7 },
  ]);
  expect(calls).toBe(1);
});
