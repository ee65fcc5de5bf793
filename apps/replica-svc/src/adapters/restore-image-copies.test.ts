import { expect, it } from 'vitest';
import {
  InstanceRecords,
  SharedAllocations,
  nodeWithDisk,
} from './allocation-store.test-support.js';
import { Allocator } from './allocator.js';

function allocatorWithOneDisk() {
  const shared = new SharedAllocations();
  const turns = { wait: () => Promise.resolve(), fate: () => 'stored' as const };
  const nodes = { list: () => [nodeWithDisk('n1', 100)] };
  const allocator = new Allocator(new InstanceRecords(shared, turns), nodes, { nowMs: () => 0 });
  return { shared, allocator };
}

const on = (node: string, image: string) => ({ image, node, disk: `disk-${node}`, sizeBytes: 80 });

it('what is promised to copies of images goes with their disk, and what is promised to replicas stays', async () => {
  const { shared, allocator } = allocatorWithOneDisk();
  await allocator.releaseImageCopies('disk-n1');
  expect(shared.records.size).toBe(0);
  const replica = { volume: 'vol-1', replica: 'rep-1', node: 'n1', disk: 'disk-n1', sizeBytes: 10 };
  await allocator.restore([replica], false);
  await allocator.restoreImageCopies([on('n1', 'img-1'), on('n1', 'img-2')], false);
  await allocator.releaseImageCopies('disk-n1');
  expect(allocator.promisedOn('disk-n1')).toMatchObject({ replicas: 1, images: 0 });
  expect(shared.records.get('disk-n1')?.value.images).toBeUndefined();
});

it('copies of images that are there are promised once, though they do not fit, and nothing in a dry run', async () => {
  const { shared, allocator } = allocatorWithOneDisk();
  // The disk of n2 is not on record: its node has not registered yet.
  const copies = [on('n1', 'img-1'), on('n1', 'img-2'), on('n2', 'img-1')];
  expect(await allocator.restoreImageCopies(copies, true)).toBe(2);
  expect(shared.records.size).toBe(0);
  expect(await allocator.restoreImageCopies(copies, false)).toBe(2);
  expect(shared.records.get('disk-n1')?.value.images).toEqual({ 'img-1': 80, 'img-2': 80 });
  expect(await allocator.restoreImageCopies(copies, false)).toBe(0);
});
