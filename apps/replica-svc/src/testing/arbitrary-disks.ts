import type { PlacementPolicy } from '@lariat/contracts';
import fc from 'fast-check';
import type { DiskState } from '../domain/disk-state.js';
import { disk } from '../domain/placement.test-support.js';

const strictness = fc.constantFrom('hard' as const, 'soft' as const, 'off' as const);
const tags = fc.subarray(['fast', 'ssd']);

export const arbitraryPolicy: fc.Arbitrary<PlacementPolicy> = fc.record({
  node: strictness,
  zone: strictness,
  disk: strictness,
  nodeTags: fc.constantFrom<string[]>([], [], ['fast']),
  diskTags: fc.constantFrom<string[]>([], [], ['ssd']),
});

const often = fc.integer({ min: 0, max: 5 }).map((value) => value > 0);

/** Up to six disks on up to four nodes in two zones; what is of the node is the same for all its disks. */
export const arbitraryDisks: fc.Arbitrary<readonly DiskState[]> = fc
  .tuple(
    fc.array(
      fc.record({
        zone: fc.constantFrom('z1', 'z2'),
        nodeReady: often,
        nodeSchedulable: often,
        nodeTags: tags,
      }),
      { minLength: 4, maxLength: 4 },
    ),
    fc.array(
      fc.record({
        at: fc.integer({ min: 0, max: 3 }),
        diskSchedulable: often,
        diskTags: tags,
        scheduledBytes: fc.integer({ min: 0, max: 100 }),
      }),
      { maxLength: 6 },
    ),
  )
  .map(([nodes, disks]) =>
    disks.map(({ at, ...given }, index) =>
      disk(`n${at}`, { ...nodes[at], ...given, disk: `d${index}`, name: `d${index}` }),
    ),
  );
