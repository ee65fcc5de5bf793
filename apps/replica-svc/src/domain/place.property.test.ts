import type { PlacementPolicy } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DiskState, freeBytes } from './disk-state.js';
import { type ImageToStandOn, place, placementError } from './place.js';
import { arbitraryDisks, arbitraryPolicy } from '../testing/arbitrary-disks.js';
import { request } from './placement.test-support.js';

const isUsable = (state: DiskState, policy: PlacementPolicy): boolean =>
  state.nodeReady &&
  state.nodeSchedulable &&
  state.diskSchedulable &&
  policy.nodeTags.every((tag) => state.nodeTags.includes(tag)) &&
  policy.diskTags.every((tag) => state.diskTags.includes(tag));

/** Tries every choice: slow, and so plain that it can be trusted. */
function fits(
  count: number,
  sizeBytes: number,
  policy: PlacementPolicy,
  disks: readonly DiskState[],
  image?: ImageToStandOn,
  chosen: readonly DiskState[] = [],
): boolean {
  if (chosen.length === count) return true;
  return disks.some((state) => {
    if (!isUsable(state, policy)) return false;
    const here = chosen.filter((other) => other.disk === state.disk).length;
    const copyBytes = image === undefined || image.disks.includes(state.disk) ? 0 : image.copyBytes;
    if (freeBytes(state) < (here + 1) * sizeBytes + copyBytes) return false;
    const clashes = chosen.some(
      (other) =>
        (policy.node === 'hard' && other.node === state.node) ||
        (policy.zone === 'hard' && other.zone === state.zone) ||
        (policy.disk === 'hard' && other.disk === state.disk),
    );
    return !clashes && fits(count, sizeBytes, policy, disks, image, [...chosen, state]);
  });
}

const arbitraryCase = fc.record({
  disks: arbitraryDisks,
  placement: arbitraryPolicy,
  count: fc.integer({ min: 1, max: 4 }),
  sizeBytes: fc.integer({ min: 1, max: 60 }),
  image: fc.option(
    fc.record({
      disks: fc.subarray(['d0', 'd1', 'd2', 'd3', 'd4', 'd5']),
      copyBytes: fc.integer({ min: 0, max: 60 }),
    }),
    { nil: undefined },
  ),
});

describe('placement', () => {
  it('keeps every hard rule and overbooks nothing, and finds a solution when there is one', () => {
    fc.assert(
      fc.property(arbitraryCase, ({ disks, placement, count, sizeBytes, image }) => {
        const replicas = Array.from({ length: count }, (_, index) => `r${index}`);
        const withImage = image === undefined ? {} : { image };
        const outcome = place(request(replicas, { placement, sizeBytes, ...withImage }), disks);
        expect(outcome.placed).toBe(fits(count, sizeBytes, placement, disks, image));
        if (!outcome.placed) return;
        expect(outcome.placements.map(({ replica }) => replica)).toEqual(replicas);
        const chosen = outcome.placements.map((at) => disks.find((d) => d.disk === at.disk));
        const states = chosen.filter((state) => state !== undefined);
        expect(states).toHaveLength(count);
        for (const state of states) {
          expect(isUsable(state, placement)).toBe(true);
          const here = states.filter((other) => other.disk === state.disk).length;
          expect(here * sizeBytes).toBeLessThanOrEqual(freeBytes(state));
        }
        const hard = (['node', 'zone', 'disk'] as const).filter(
          (level) => placement[level] === 'hard',
        );
        for (const level of hard)
          expect(new Set(states.map((state) => state[level])).size).toBe(count);
      }),
      { numRuns: 2_000 },
    );
  });

  it('shares nothing that it need not share when the rules are soft', () => {
    fc.assert(
      fc.property(arbitraryCase, ({ disks, count, sizeBytes }) => {
        const replicas = Array.from({ length: count }, (_, index) => `r${index}`);
        for (const level of ['disk', 'node', 'zone'] as const) {
          const alone = {
            node: 'off',
            zone: 'off',
            disk: 'off',
            nodeTags: [],
            diskTags: [],
          } as const;
          const soft = place(
            request(replicas, { sizeBytes, placement: { ...alone, [level]: 'soft' } }),
            disks,
          );
          const apart = fits(count, sizeBytes, { ...alone, [level]: 'hard' }, disks);
          if (!apart) continue;
          if (!soft.placed) throw new Error('a soft rule refused what a hard one allows');
          const used = soft.placements.map(
            (at) => disks.find((state) => state.disk === at.disk)?.[level],
          );
          expect(new Set(used).size).toBe(count);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('says of each disk whether it was chosen and else why not, whenever it refuses', () => {
    fc.assert(
      fc.property(arbitraryCase, ({ disks, placement, count, sizeBytes }) => {
        const replicas = Array.from({ length: count }, (_, index) => `r${index}`);
        const outcome = place(request(replicas, { placement, sizeBytes }), disks);
        if (outcome.placed) return;
        const { explanation } = outcome;
        expect(explanation.disks.map((verdict) => verdict.disk).toSorted()).toEqual(
          disks.map((state) => state.disk).toSorted(),
        );
        expect(explanation.placed).toBeLessThan(count);
        expect(explanation.disks.reduce((sum, { chosen }) => sum + chosen, 0)).toBe(
          explanation.placed,
        );
        // Whatever could take one more would have been chosen.
        for (const { reasons } of explanation.disks) expect(reasons.length).toBeGreaterThan(0);
        const roomy = disks.map((state) => ({
          ...state,
          scheduledBytes: 0,
          allocatableBytes: 1e6,
        }));
        expect(outcome.code).toBe(
          fits(count, sizeBytes, placement, roomy) ? 'NO_CAPACITY' : 'NOT_ENOUGH_NODES',
        );
        const error = toLariatError(placementError(outcome));
        for (const state of disks) expect(error.message).toContain(`${state.node}/${state.name}`);
      }),
      { numRuns: 1_000 },
    );
  });

  it('gives the same answer to the same request when what it gave is on record', () => {
    fc.assert(
      fc.property(arbitraryCase, ({ disks, placement, count, sizeBytes }) => {
        const replicas = Array.from({ length: count }, (_, index) => `r${index}`);
        const asked = request(replicas, { placement, sizeBytes });
        const first = place(asked, disks);
        if (!first.placed) return;
        const after = disks.map((state) => {
          const here = first.placements.filter((at) => at.disk === state.disk);
          return {
            ...state,
            // All that can go wrong meanwhile does, and the disk is full.
            nodeReady: false,
            diskSchedulable: false,
            allocatableBytes: 0,
            replicas: new Map(here.map(({ replica }) => [replica, sizeBytes])),
          };
        });
        expect(place(asked, after)).toEqual(first);
      }),
    );
  });
});
