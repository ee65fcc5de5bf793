import {
  type AllocationRecord,
  type ErrorCode,
  type ImageCopyReport,
  lariatError,
} from '@lariat/contracts';
import { ReconcileCounts } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { diskNamed, readyNode } from '../domain/volume.test-support.js';
import { compareImagePromisesOnce } from './keep-image-promises.js';

const copy: ImageCopyReport = {
  ...{ image: 'i1', disk: 'd1', state: 'sealed', uuid: 'u', sizeBytes: 8 },
  ...{ presence: 'present', allocatedClusters: 1, clones: 0 },
};

describe('promises to copies of images that do not fit what the nodes have', () => {
  let nowMs: number;
  let promised: AllocationRecord['images'];
  /** What n1 says that it has; undefined: it has said nothing. */
  let has: readonly ImageCopyReport[] | undefined;
  let recorded: readonly string[] | ErrorCode;
  let done: string[];
  let counts: ReconcileCounts;
  let since: Map<string, number>;

  beforeEach(() => {
    nowMs = 0;
    promised = { i1: 8 };
    has = [copy];
    recorded = ['d1'];
    done = [];
    counts = new ReconcileCounts();
    since = new Map();
  });

  async function pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second += 10) {
      nowMs += 10_000;
      await compareImagePromisesOnce(
        {
          allocator: {
            list: () => [
              {
                ...{ disk: 'd1', node: 'n1', replicas: {} },
                ...(promised === undefined ? {} : { images: promised }),
              },
            ],
            promiseImageCopy: ({ image, disk, sizeBytes }, options) => {
              done.push(`promised ${image} ${sizeBytes} on ${disk}, there: ${options?.isThere}`);
              return Promise.resolve();
            },
            releaseImageCopy: ({ image, disk }) => {
              done.push(`released ${image} on ${disk}`);
              return Promise.resolve();
            },
          },
          nodes: { list: () => [readyNode('n1', { disks: [diskNamed('d1')] })] },
          told: () => (has === undefined ? [] : [{ node: 'n1', images: has }]),
          client: {
            request: () => {
              if (typeof recorded === 'string') return Promise.reject(lariatError(recorded, 'no'));
              return Promise.resolve({ copies: recorded.map((disk) => ({ disk })) } as never);
            },
          },
          clock: { monotonicMs: () => nowMs },
          counts,
          log: { warn: () => undefined } as never,
        },
        since,
      );
    }
  }

  it('are left alone when they do', async () => {
    await pass(100);
    expect(done).toEqual([]);
    expect(counts.view()).toEqual({ promises: { looks: 10, repairs: 0 } });
  });

  it.each([undefined, {}, { i1: 4 }])('are made up for when they are %j', async (too) => {
    promised = too;
    await pass(30);
    expect(done).toEqual([]);
    await pass(10);
    expect(done).toEqual(['promised i1 8 on d1, there: true']);
  });

  it('are not made for a copy that is gone from its disk', async () => {
    promised = {};
    has = [{ ...copy, presence: 'absent' }];
    await pass(100);
    expect(done).toEqual([]);
  });

  it.each([['IMAGE_NOT_FOUND' as const], [['d2']]])(
    'are ended when the node has no copy and none is to be: %j',
    async (record) => {
      has = [];
      recorded = record;
      await pass(30);
      expect(done).toEqual([]);
      await pass(10);
      expect(done).toEqual(['released i1 on d1']);
    },
  );

  it('stay while a copy is to come, and when the node or the image says nothing', async () => {
    has = [];
    await pass(100);
    recorded = 'SERVICE_UNAVAILABLE';
    await pass(100);
    recorded = 'IMAGE_NOT_FOUND';
    has = undefined;
    await pass(100);
    expect(done).toEqual([]);
  });
});
