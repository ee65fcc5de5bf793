import { expect, it } from 'vitest';
import {
  InstanceRecords,
  SharedAllocations,
  nodeWithDisk,
} from './allocation-store.test-support.js';
import { Allocator } from './allocator.js';

it('copies of images that are there are promised once, though they do not fit, and nothing in a dry run', async () => {
  const shared = new SharedAllocations();
  const turns = { wait: () => Promise.resolve(), fate: () => 'stored' as const };
  const nodes = { list: () => [nodeWithDisk('n1', 100)] };
  const allocator = new Allocator(new InstanceRecords(shared, turns), nodes, { nowMs: () => 0 });
  const on = (node: string, image: string) => ({
    image,
    node,
    disk: `disk-${node}`,
    sizeBytes: 80,
  });
  // The disk of n2 is not on record: its node has not registered yet.
  const copies = [on('n1', 'img-1'), on('n1', 'img-2'), on('n2', 'img-1')];
  expect(await allocator.restoreImageCopies(copies, true)).toBe(2);
  expect(shared.records.size).toBe(0);
  expect(await allocator.restoreImageCopies(copies, false)).toBe(2);
  expect(shared.records.get('disk-n1')?.value.images).toEqual({ 'img-1': 80, 'img-2': 80 });
  expect(await allocator.restoreImageCopies(copies, false)).toBe(0);
});
