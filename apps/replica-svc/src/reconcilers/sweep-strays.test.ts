import {
  type CommandEnvelope,
  type Inventory,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { ReconcileCounts } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { attachedVolume, replicaOn } from '../domain/volume.test-support.js';
import { findStrays, StraySweep } from './sweep-strays.js';

/** The replica that a move has replaced, on a node that is there; those that replace it are on nodes that are gone. */
const LEFT = { replica: 'old', volume: 'vol-1', record: { generation: 0, revision: 6 } };

/** As the clean-up of a move leaves it that found no member to keep it: dropped, and not deleted. */
const moved = (given: Partial<VolumeRecord> = {}): VolumeRecord =>
  attachedVolume({
    replicas: [replicaOn('r1', 'n2'), replicaOn('new', 'n3')],
    revision: 7,
    ...given,
  });

describe('the sweep, after a move that could not delete the old replica', () => {
  let nowMs: number;
  let sent: CommandEnvelope<'replica.delete'>[];
  let record: VolumeRecord;
  /** As the cache last heard of it; the same when it is missing. */
  let cached: VolumeRecord | undefined;
  let refuses: boolean;
  let counts: ReconcileCounts;
  let tell: (inventory: Pick<Inventory, 'replicas' | 'images'>) => Promise<void>;

  beforeEach(() => {
    nowMs = 0;
    counts = new ReconcileCounts();
    sent = [];
    record = moved();
    cached = undefined;
    refuses = false;
    const commands = {
      send: (_node: string, envelope: CommandEnvelope<'replica.delete'>) => {
        sent.push(envelope);
        return refuses
          ? Promise.reject(lariatError('RECORD_STALE', 'a newer record is kept'))
          : Promise.resolve({});
      },
    };
    const volumes = {
      cached: () => cached ?? record,
      fresh: () => Promise.resolve(record),
    };
    const log = { info: () => undefined, warn: () => undefined };
    const sweep = new StraySweep(
      commands as never,
      volumes as never,
      { has: () => Promise.resolve(false) },
      { nowMs: () => nowMs, monotonicMs: () => nowMs },
      log as never,
      counts,
    );
    tell = async (told) => {
      const inventory = { node: 'n1', agentInstance: 'i', engines: [], ...told };
      await sweep.consider(inventory);
    };
  });

  /** Inventories of the node, one a second. */
  async function pass(seconds: number, replicas: Inventory['replicas'] = [LEFT]): Promise<void> {
    for (let second = 0; second < seconds; second += 1) {
      nowMs += 1_000;
      await tell({ replicas });
    }
  }

  it('takes it, by the record that does not list it, once that has stood for a while', async () => {
    await pass(5);
    expect(sent).toEqual([]);
    expect(counts.view()).toEqual({ strays: { looks: 5, repairs: 0 } });
    await pass(1);
    expect(counts.view()).toEqual({ strays: { looks: 6, repairs: 1 } });
    expect(sent).toMatchObject([
      {
        command: 'replica.delete',
        input: { replica: 'old', volume: 'vol-1', record: { generation: 0, revision: 7 } },
      },
    ]);
  });

  it('takes it after other operations, a restart of the service, and a cache that is late', async () => {
    record = moved({ operation: 'op' });
    await pass(20);
    cached = moved({ replicas: [...moved().replicas, replicaOn('old', 'n1', { mode: 'WO' })] });
    record = moved({ revision: 9 });
    await pass(20);
    expect(sent).toEqual([]);
    cached = undefined;
    await pass(6);
    expect(sent.map(({ input }) => input.record?.revision)).toEqual([9]);
  });

  it('asks again, as another command, while the node refuses and has it', async () => {
    refuses = true;
    await pass(8);
    expect(sent.length).toBeGreaterThan(1);
    expect(new Set(sent.map(({ id }) => id)).size).toBe(sent.length);
    refuses = false;
    await pass(1);
    const { length } = sent;
    await pass(20, []);
    expect(sent).toHaveLength(length);
  });

  it("takes no copy of an image, of which no volume's record speaks", async () => {
    const copy = {
      ...{ image: 'img-1', disk: 'disk-1', uuid: 'u', sizeBytes: 1, state: 'sealed' as const },
      ...{ presence: 'present' as const, allocatedClusters: 1, clones: 0 },
    };
    for (let second = 0; second < 20; second += 1) {
      nowMs += 1_000;
      await tell({ replicas: [], images: [copy] });
    }
    expect(sent).toEqual([]);
  });

  it('leaves it while the record lists it, is in doubt, or is older than what the node keeps', async () => {
    const listed = replicaOn('old', 'n1', { mode: 'WO', state: 'removing' });
    for (const kept of [
      moved({ replicas: [...moved().replicas, listed] }),
      moved({ inDoubt: ['why'] }),
      moved({ revision: 5 }),
    ]) {
      record = kept;
      await pass(20);
    }
    expect(sent).toEqual([]);
  });
});

describe('an engine that a node brings back', () => {
  const inventory: Inventory = {
    ...{ node: 'n1', agentInstance: 'i', replicas: [] },
    engines: [{ volume: 'vol-1', epoch: 1, operational: [], lost: [] }],
  };
  const strayOf = (given: Partial<VolumeRecord>): readonly string[] =>
    findStrays(
      inventory,
      () => attachedVolume({ epoch: 1, ...given }),
      () => false,
    ).map(({ command }) => command);

  it('goes while the volume is being deleted, which waits for it', () => {
    const given = { attachment: null, state: 'deleting', operation: 'op' } as const;
    expect(strayOf(given)).toEqual(['frontend.stop', 'engine.stop']);
  });

  it('stays while an operation may be about to make it the one that is wanted', () => {
    expect(strayOf({ operation: 'op', epoch: 2 })).toEqual([]);
    expect(strayOf({ attachment: null, inDoubt: 'for a reason' } as never)).toEqual([]);
  });
});
