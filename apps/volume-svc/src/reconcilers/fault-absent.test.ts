import type { VolumeChange, VolumeRecord } from '@lariat/contracts';
import { lariatError } from '@lariat/contracts';
import { ReconcileCounts } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { newReplica, newVolumeRecord } from '../domain/volume-record.test-support.js';
import { AbsentReplicas } from './fault-absent.js';

const WHY = 'its head is not on its disk';

describe('a replica whose node says that its head is gone', () => {
  let record: VolumeRecord;
  /** As the cache last heard of it. */
  let cached: VolumeRecord;
  let changes: VolumeChange[];
  let confirmed: number;
  let refuses: boolean;
  let errors: string[];
  let counts: ReconcileCounts;
  let consider: (absent?: string, node?: string) => Promise<void>;

  beforeEach(() => {
    record = newVolumeRecord({
      state: 'detached',
      operation: null,
      attachment: null,
      replicas: [newReplica('r1', 'n1'), newReplica('r2', 'n2')],
    });
    cached = record;
    changes = [];
    errors = [];
    confirmed = 0;
    refuses = false;
    counts = new ReconcileCounts();
    const volumes = {
      cached: () => cached,
      change: (
        _id: string,
        _operation: null,
        decide: (now: VolumeRecord) => readonly VolumeChange[],
      ) => {
        if (refuses) return Promise.reject(lariatError('LAST_REPLICA', 'the last one'));
        changes.push(...decide(record));
        return Promise.resolve(record);
      },
      confirm: () => {
        confirmed += 1;
        return Promise.resolve();
      },
    };
    const log = {
      warn: () => undefined,
      error: (message: string) => {
        errors.push(message);
      },
    };
    const absent = new AbsentReplicas(volumes as never, { nowMs: () => 7 }, log as never, counts);
    consider = (why, node = 'n1') =>
      absent.consider({
        node,
        agentInstance: 'i',
        engines: [],
        replicas: [
          { replica: 'r1', volume: record.id, ...(why === undefined ? {} : { absent: why }) },
        ],
      });
  });

  it('leaves the in-sync set, beside the replicas too', async () => {
    await consider(WHY);
    expect(changes).toEqual([{ type: 'fault-replica', replica: 'r1', reason: WHY, atMs: 7 }]);
    expect(confirmed).toBe(1);
    expect(counts.view()).toEqual({ replicas: { looks: 1, repairs: 1 } });
  });

  it('stays when nothing says so', async () => {
    await consider();
    await consider(WHY, 'n2');
    expect(changes).toEqual([]);
    expect(counts.view()).toEqual({ replicas: { looks: 2, repairs: 0 } });
  });

  it.each<[string, Partial<VolumeRecord>]>([
    ['it is attached: its engine knows', { state: 'attached' }],
    ['an operation works on it', { operation: 'op' }],
    ['it is in doubt', { inDoubt: ['why'] }],
    ['it does not count', { replicas: [{ ...newReplica('r1', 'n1'), mode: 'ERR' }] }],
  ])('stays while of its volume it is true that %s', async (_what, given) => {
    const before = record;
    record = { ...before, ...given };
    await consider(WHY);
    expect(changes).toEqual([]);
    cached = record;
    await consider(WHY);
    expect(changes).toEqual([]);
    expect(counts.view().replicas?.repairs).toBe(1);
  });

  it('stays when it is the last one, and that is said once', async () => {
    refuses = true;
    for (let told = 0; told < 3; told += 1) await consider(WHY);
    expect(changes).toEqual([]);
    expect(errors).toEqual(['the last replica of a volume is not on its disk']);
    expect(counts.view().replicas?.repairs).toBe(1);
  });
});
