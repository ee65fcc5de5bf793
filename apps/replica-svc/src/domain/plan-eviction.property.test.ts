import { type IdleImageCopy, toPlacementPolicy } from '@lariat/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arbitraryDisks, arbitraryPolicy } from '../testing/arbitrary-disks.js';
import type { DiskState } from './disk-state.js';
import { place, placementError } from './place.js';
import { disk, request } from './placement.test-support.js';
import { planEviction, withHeldByImages } from './plan-eviction.js';

const IMAGES = ['img-1', 'img-2', 'img-3'];
const DISKS = ['d0', 'd1', 'd2', 'd3', 'd4', 'd5'];

const arbitraryIdle = fc
  .record({
    copies: fc.uniqueArray(
      fc.record({
        image: fc.constantFrom(...IMAGES),
        disk: fc.constantFrom(...DISKS),
        idleSinceMs: fc.integer({ min: 0, max: 100 }),
      }),
      { selector: (copy) => `${copy.image}/${copy.disk}` },
    ),
    sizes: fc.tuple(...IMAGES.map(() => fc.integer({ min: 1, max: 50 }))),
    spares: fc.tuple(...IMAGES.map(() => fc.integer({ min: 1, max: DISKS.length }))),
  })
  .map(({ copies, sizes, spares }) =>
    copies.map((copy): IdleImageCopy => {
      const at = IMAGES.indexOf(copy.image);
      return { ...copy, node: 'n', sizeBytes: sizes[at] ?? 1, spare: spares[at] ?? 1 };
    }),
  );

/** The disks, with the idle copies on them, and a request of any kind. */
const arbitraryCase = fc
  .record({
    disks: arbitraryDisks,
    idle: arbitraryIdle,
    placement: arbitraryPolicy,
    count: fc.integer({ min: 1, max: 4 }),
    sizeBytes: fc.integer({ min: 1, max: 60 }),
    image: fc.option(
      fc.record({
        id: fc.constantFrom(...IMAGES),
        disks: fc.subarray(DISKS),
        copyBytes: fc.integer({ min: 0, max: 40 }),
      }),
      { nil: undefined },
    ),
  })
  .map(({ disks, idle, placement, count, sizeBytes, image }) => ({
    disks: disks.map((state) => {
      const mine = idle.filter((copy) => copy.disk === state.disk);
      const imageBytes = mine.reduce((bytes, copy) => bytes + copy.sizeBytes, 0);
      // Most have little room beside what their copies take.
      const otherBytes = Math.floor(state.scheduledBytes / 2);
      const scheduledBytes = Math.max(otherBytes + imageBytes, 90 - (state.scheduledBytes % 40));
      return { ...state, imageBytes, scheduledBytes };
    }),
    idle: idle.filter((copy) => disks.some((state) => state.disk === copy.disk)),
    asked: request(
      Array.from({ length: count }, (_, at) => `r${at}`),
      { placement, sizeBytes, ...(image === undefined ? {} : { image }) },
    ),
  }));

const without = (
  disks: readonly DiskState[],
  copies: readonly IdleImageCopy[],
): readonly DiskState[] =>
  disks.map((state) => {
    const mine = copies.filter((copy) => copy.disk === state.disk);
    const freedBytes = mine.reduce((bytes, copy) => bytes + copy.sizeBytes, 0);
    return { ...state, scheduledBytes: state.scheduledBytes - freedBytes };
  });

describe('what is evicted for a request that finds no room', () => {
  it('gives it its places, takes no more of an image than it can spare, and opens no disk in vain', () => {
    let planned = 0;
    fc.assert(
      fc.property(arbitraryCase, ({ disks, idle, asked }) => {
        if (place(asked, disks).placed) return;
        const plan = planEviction(asked, disks, idle);
        if (plan === undefined) return;
        planned += 1;
        expect(place(asked, without(disks, plan)).placed).toBe(true);
        expect(plan.every((copy) => idle.includes(copy))).toBe(true);
        expect(new Set(plan).size).toBe(plan.length);
        for (const { image, spare } of plan) {
          expect(image).not.toBe(asked.image?.id);
          expect(plan.filter((copy) => copy.image === image).length).toBeLessThanOrEqual(spare);
        }
        for (const opened of new Set(plan.map((copy) => copy.disk))) {
          const others = plan.filter((copy) => copy.disk !== opened);
          expect(place(asked, without(disks, others)).placed).toBe(false);
        }
      }),
      { numRuns: 2_000 },
    );
    expect(planned).toBeGreaterThan(50);
  });

  it('is nothing only where all idle copies together would not help, if they can all be spared', () => {
    fc.assert(
      fc.property(arbitraryCase, ({ disks, idle, asked }) => {
        const policy = toPlacementPolicy(asked.placement);
        // Two on one disk are tried as well, yet not each mixture of one here and two there.
        fc.pre(policy.node === 'hard' || policy.disk === 'hard' || asked.replicas.length === 1);
        const spared = idle.map((copy) => ({ ...copy, spare: DISKS.length }));
        if (place(asked, disks).placed || planEviction(asked, disks, spared) !== undefined) return;
        const others = spared.filter((copy) => copy.image !== asked.image?.id);
        expect(place(asked, without(disks, others)).placed).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is what is idle for the longest, where several would do', () => {
    const disks = ['n1', 'n2', 'n3'].map((node) => disk(node, { scheduledBytes: 100 }));
    const idle = [30, 10, 20].map((idleSinceMs, at): IdleImageCopy => {
      const node = `n${at + 1}`;
      const image = `img-${at}`;
      return { image, node, disk: `disk-${node}`, sizeBytes: 10, idleSinceMs, spare: 1 };
    });
    const nodesFor = (...replicas: readonly string[]) =>
      planEviction(request(replicas), disks, idle)?.map(({ node }) => node);
    expect(nodesFor('r0')).toEqual(['n2']);
    expect(nodesFor('r0', 'r1')).toEqual(['n2', 'n3']);
    expect(nodesFor('r0', 'r1', 'r2', 'r3')).toBeUndefined();
  });

  it('gives room for several replicas on one disk where they may share it', () => {
    const disks = [disk('n1', { scheduledBytes: 100 })];
    const idle = ['img-1', 'img-2'].map((image) => ({
      ...{ image, node: 'n1', disk: 'disk-n1', sizeBytes: 15, idleSinceMs: 0, spare: 1 },
    }));
    const asked = (...replicas: readonly string[]) =>
      request(replicas, { placement: { node: 'soft' } });
    expect(planEviction(asked('r0'), disks, idle)).toHaveLength(1);
    expect(planEviction(asked('r0', 'r1', 'r2'), disks, idle)).toHaveLength(2);
    expect(planEviction(asked('r0', 'r1', 'r2', 'r3'), disks, idle)).toBeUndefined();
  });
});

it('tells how much of a disk copies of images keep that can not be evicted', () => {
  const full = disk('n1', { scheduledBytes: 100, imageBytes: 60 });
  const idle = { image: 'img-1', node: 'n1', disk: 'disk-n1', idleSinceMs: 0, spare: 1 };
  const told = withHeldByImages([full], [{ ...idle, sizeBytes: 20 }]);
  expect(told).toMatchObject([{ heldByImagesBytes: 40 }]);
  const outcome = place(request(['r0'], { sizeBytes: 30 }), told);
  if (outcome.placed) throw new Error('it was placed');
  expect(placementError(outcome).message).toContain(
    '0 B free, 40 B held by copies of images that are in use or needed, 30 B needed',
  );
});
