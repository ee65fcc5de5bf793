import type { DiskView } from '@lariat/contracts';
import { expect, it } from 'vitest';
import { type DiskChoice, findDisk, noRoomForImage } from './choose-disk.js';

const disk = (node: string, availableBytes: number, schedulable = true): DiskView =>
  ({ id: `disk-of-${node}`, node, availableBytes, schedulable }) as DiskView;

const nodes: DiskChoice['nodes'] = [
  { name: 'n1', state: 'ready', schedulable: true, disks: [disk('n1', 50)] },
  { name: 'n2', state: 'ready', schedulable: true, disks: [disk('n2', 90)] },
  { name: 'n3', state: 'down', schedulable: true, disks: [disk('n3', 99)] },
  { name: 'n4', state: 'ready', schedulable: false, disks: [disk('n4', 99)] },
  { name: 'n5', state: 'ready', schedulable: true, disks: [disk('n5', 99, false)] },
];
const choice = { nodes, needBytes: 40, exceptNodes: [], exceptDisks: [] };

it('takes the disk with the most room on a node that answers and takes new data', () => {
  expect(findDisk(choice)).toEqual({ node: 'n2', disk: 'disk-of-n2' });
  expect(findDisk({ ...choice, exceptNodes: ['n2'] })?.node).toBe('n1');
  expect(findDisk({ ...choice, exceptDisks: ['disk-of-n2'] })?.node).toBe('n1');
});

it('takes none without enough room, and says how much is needed', () => {
  expect(findDisk({ ...choice, needBytes: 91 })).toBeUndefined();
  expect(noRoomForImage(3 * 1024 ** 2).message).toContain('3 MiB');
});
