import type { FrontendOffer } from '@lariat/contracts';
import { GIB, MIB } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { volumeLimit } from './volume-limit.js';

const node = (...available: readonly string[]) => ({
  name: 'n1',
  frontends: (['nbd', 'kernel', 'loop'] as const).map((frontend): FrontendOffer => ({
    ...{ frontend, available: available.includes(frontend), reason: null },
  })),
});

describe('the volumes of a node', () => {
  it('are as many as its memory takes, in the way that its devices are made', () => {
    expect(volumeLimit(node('nbd', 'loop'), 16 * GIB, undefined)).toEqual({
      count: 128,
      reason: "half of the 16.0 GiB of 'n1', 64 MiB a volume under 'loop'",
    });
    expect(volumeLimit(node('kernel', 'loop'), 4 * GIB, undefined).count).toBe(512);
    expect(volumeLimit(node('nbd'), 64 * MIB, undefined).count).toBe(1);
    expect(volumeLimit(node('kernel'), 512 * GIB, undefined)).toEqual({
      ...{ count: 1_000, reason: 'no node is given more than 1000' },
    });
  });

  it('are as many as is asked for', () => {
    expect(volumeLimit(node('loop'), GIB, 77)).toMatchObject({ count: 77 });
  });
});
