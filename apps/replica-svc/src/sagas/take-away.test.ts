import { type CommandMap, type ErrorCode, type VolumeRecord, lariatError } from '@lariat/contracts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { takeAway } from './take-away.js';

describe('taking a replica away', () => {
  let sent: (CommandMap['replica.delete']['input'] & { key: string })[];
  let warned: string[];
  /** What the store has, one read after the other; the last one stays. */
  let stored: (Pick<VolumeRecord, 'generation' | 'revision'> | undefined)[];

  beforeEach(() => {
    vi.useFakeTimers();
    sent = [];
    warned = [];
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  async function take(refusal: ErrorCode | undefined, heldRevision: number): Promise<void> {
    const volumes = {
      fresh: () => Promise.resolve(stored.length > 1 ? stored.shift() : stored[0]),
    };
    const context = {
      operation: 'op',
      input: { volume: 'vol-1' },
      client: { request: () => Promise.resolve({ state: 'ready' }) },
      log: { info: () => undefined, warn: (text: string) => warned.push(text) },
      command: (
        _node: string,
        _name: string,
        input: CommandMap['replica.delete']['input'],
        { key }: { key: string },
      ) => {
        sent.push({ ...input, key });
        return refusal !== undefined && (input.record?.revision ?? 0) < heldRevision
          ? Promise.reject(lariatError(refusal, 'refused'))
          : Promise.resolve({});
      },
    };
    const taken = takeAway({ volumes } as never, context as never, 'replica.delete', {
      id: 'r1',
      node: 'n1',
    });
    const settled = taken.catch(() => undefined);
    await vi.advanceTimersByTimeAsync(10_000);
    await settled;
    return taken;
  }

  it('says by which record it goes', async () => {
    stored = [{ generation: 2, revision: 7 }];
    await take(undefined, 0);
    expect(sent).toEqual([
      {
        ...{ replica: 'r1', volume: 'vol-1', key: 'r1/2.7.1' },
        record: { generation: 2, revision: 7 },
      },
    ]);
  });

  it('asks again, as another command, when its node has only heard of the newest record sooner', async () => {
    stored = [{ revision: 7 }, { revision: 7 }, { revision: 9 }];
    await take('RECORD_STALE', 9);
    expect(sent.map(({ record }) => record?.revision)).toEqual([7, 7, 9]);
    expect(new Set(sent.map(({ key }) => key)).size).toBe(3);
    expect(warned).toEqual([]);
  });

  it('ends, and leaves the replica, when its node knows more than the store', async () => {
    stored = [{ revision: 7 }];
    await take('RECORD_STALE', 15);
    expect(warned).toHaveLength(1);
  });

  it('leaves any other refusal to the step', async () => {
    stored = [{ revision: 7 }];
    await expect(take('VOLUME_BUSY', 15)).rejects.toMatchObject({ code: 'VOLUME_BUSY' });
  });

  it('leaves what has no record to the sweep, which knows whether it was deleted', async () => {
    stored = [undefined];
    await take(undefined, 0);
    expect(sent).toEqual([]);
  });
});
