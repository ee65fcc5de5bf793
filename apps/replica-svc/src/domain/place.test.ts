import { toLariatError } from '@lariat/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DiskState, place } from './place.js';

const disk = (node: string, given: Partial<DiskState> = {}): DiskState => ({
  disk: `disk-${node}`,
  node,
  nodeReady: true,
  schedulable: true,
  capacityBytes: 100,
  replicas: new Map(),
  scheduledBytes: 0,
  ...given,
});

const errorOf = (run: () => unknown): { code: string; message: string } => {
  try {
    run();
  } catch (error) {
    return toLariatError(error);
  }
  throw new Error('nothing was thrown');
};

function tryPlace(...input: Parameters<typeof place>): {
  readonly placements: ReturnType<typeof place>;
  readonly code: string;
} {
  try {
    return { placements: place(...input), code: 'placed' };
  } catch (error) {
    return { placements: [], code: toLariatError(error).code };
  }
}

describe('placement', () => {
  it('never puts two replicas on a node, nor more on a disk than fits', () => {
    const disks = fc.array(
      fc.record({
        node: fc.constantFrom('n1', 'n2', 'n3', 'n4'),
        scheduledBytes: fc.integer({ min: 0, max: 100 }),
        ready: fc.boolean(),
      }),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(
        disks,
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 3 }),
        (given, sizeBytes, count) => {
          const states = given.map(({ node, scheduledBytes, ready }, index) =>
            disk(node, { disk: `d${index}`, scheduledBytes, nodeReady: ready }),
          );
          const replicas = Array.from({ length: count }, (_, index) => `r${index}`);
          const { placements, code } = tryPlace(
            { replicas, sizeBytes, excludeNodes: ['n4'] },
            states,
          );
          expect(['placed', 'NO_CAPACITY', 'NOT_ENOUGH_NODES']).toContain(code);
          fc.pre(code === 'placed');
          expect(placements).toHaveLength(count);
          const nodes = placements.map(({ node }) => node);
          expect(new Set(nodes).size).toBe(count);
          expect(nodes).not.toContain('n4');
          for (const { disk: id } of placements) {
            const state = states.find((candidate) => candidate.disk === id);
            expect(state?.nodeReady).toBe(true);
            expect((state?.scheduledBytes ?? 0) + sizeBytes).toBeLessThanOrEqual(100);
          }
        },
      ),
    );
  });

  it('keeps the place that a replica has', () => {
    const states = [
      disk('n1'),
      disk('n2', { replicas: new Map([['r0', 50]]), scheduledBytes: 95 }),
      disk('n3'),
    ];
    const placements = place({ replicas: ['r0', 'r1'], sizeBytes: 50, excludeNodes: [] }, states);
    expect(placements[0]).toEqual({ replica: 'r0', node: 'n2', disk: 'disk-n2' });
    expect(placements[1]?.node).not.toBe('n2');
  });

  it('says of each disk why it does not fit', () => {
    const states = [
      disk('n1', { scheduledBytes: 99 }),
      disk('n2'),
      disk('n3', { nodeReady: false }),
      disk('n4', { schedulable: false }),
    ];
    expect(
      errorOf(() => place({ replicas: ['a', 'b', 'c'], sizeBytes: 10, excludeNodes: [] }, states)),
    ).toMatchObject({
      code: 'NOT_ENOUGH_NODES',
    });
    const { code, message } = errorOf(() =>
      place({ replicas: ['a', 'b'], sizeBytes: 10, excludeNodes: [] }, states),
    );
    expect(code).toBe('NO_CAPACITY');
    expect(message).toContain('n1/disk-n1: 1 B free, 10 B needed');
    expect(message).toContain('n3/disk-n3: its node is not ready');
    expect(message).toContain('n4/disk-n4: its node is cordoned');
  });
});
