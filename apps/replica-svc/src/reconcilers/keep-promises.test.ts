import { ReconcileCounts } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import type { AllocationRecord, VolumeRecord } from '@lariat/contracts';
import { attachedVolume, diskNamed, readyNode, replicaOn } from '../domain/volume.test-support.js';
import { comparePromisesOnce } from './keep-promises.js';

const SIZE_BYTES = 8;

describe('promises that do not fit what the volumes have', () => {
  let nowMs: number;
  let promised: AllocationRecord['replicas'];
  let done: string[];
  let absent: boolean;
  let counts: ReconcileCounts;
  let since: Map<string, number>;
  const record: VolumeRecord = attachedVolume({
    sizeBytes: SIZE_BYTES,
    replicas: [replicaOn('r1', 'n1', { disk: 'd1' })],
  });

  beforeEach(() => {
    nowMs = 0;
    promised = { r1: SIZE_BYTES };
    done = [];
    absent = true;
    counts = new ReconcileCounts();
    since = new Map();
  });

  /** Rounds, one every 10 s. */
  async function pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second += 10) {
      nowMs += 10_000;
      await comparePromisesOnce(
        {
          allocator: {
            list: () => [{ disk: 'd1', node: 'n1', replicas: promised }],
            restore: (missing) => {
              done.push(...missing.map(({ replica }) => `restored ${replica}`));
              return Promise.resolve(missing.length);
            },
            drop: (disk, replica) => {
              done.push(`dropped ${replica} on ${disk}`);
              return Promise.resolve();
            },
          },
          volumes: { list: () => [record] },
          nodes: { list: () => [readyNode('n1', { disks: [diskNamed('d1')] })] },
          isAbsent: () => absent,
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

  it('are changed when the difference has stood for long enough', async () => {
    promised = { nobody: SIZE_BYTES };
    await pass(30);
    expect(done).toEqual([]);
    await pass(10);
    expect(done).toEqual(['restored r1', 'dropped nobody on d1']);
    expect(counts.view().promises?.repairs).toBe(2);
  });

  it('stay when the node has what they are for, or has not said', async () => {
    promised = { r1: SIZE_BYTES, nobody: SIZE_BYTES };
    absent = false;
    await pass(100);
    expect(done).toEqual([]);
  });

  it('are waited for anew after a round in which all was well', async () => {
    promised = {};
    await pass(30);
    promised = { r1: SIZE_BYTES };
    await pass(10);
    promised = {};
    await pass(30);
    expect(done).toEqual([]);
  });
});
