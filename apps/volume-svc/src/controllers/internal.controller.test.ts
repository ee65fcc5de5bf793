import { type EngineReportRequest, type VolumeChange, type VolumeRecord } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { applyVolumeChanges } from '../domain/apply-change.js';
import { inSyncOf } from '../domain/replica-changes.js';
import { newVolumeRecord } from '../domain/volume-record.test-support.js';
import { InternalController } from './internal.controller.js';

describe('the report of an engine that has lost legs', () => {
  let record: VolumeRecord;
  /** Each record that a member had to keep. */
  let kept: VolumeRecord[];

  const withThird = (given: Partial<VolumeRecord['replicas'][number]>): VolumeRecord => {
    const volume = newVolumeRecord({
      ...{ state: 'attached', clean: false, epoch: 3, operation: 'op-move' },
      attachment: {
        ...{ epoch: 3, node: 'n1', frontend: 'nbd', endpoint: 'nbd+unix:///x' },
        ...{ engine: null, seizedFrom: null, inSync: ['r1', 'r2'] },
      },
    });
    const replicas = volume.replicas.map((one) => (one.id === 'r3' ? { ...one, ...given } : one));
    return { ...volume, replicas };
  };

  beforeEach(() => {
    record = withThird({ mode: 'WO', state: 'removing' });
    kept = [];
  });

  function report(operational: readonly string[], epoch = 3): Promise<unknown> {
    const volumes = {
      change: (
        _id: string,
        operation: string | null,
        decide: readonly VolumeChange[] | ((now: VolumeRecord) => readonly VolumeChange[]),
      ) =>
        Promise.resolve().then(() => {
          const changes = typeof decide === 'function' ? decide(record) : decide;
          record = applyVolumeChanges(record, operation, changes).record;
          return record;
        }),
      confirm: (changed: VolumeRecord) => {
        kept.push(changed);
        return Promise.resolve();
      },
    };
    const controller = new InternalController({ volumes, clock: { nowMs: () => 7 } } as never);
    const lost = ['r1', 'r2', 'r3']
      .filter((replica) => !operational.includes(replica))
      .map((replica) => ({ replica, reason: 'gone' }));
    const body = { node: 'n1', volume: record.id, epoch, operational, lost };
    return controller.reportEngine(body as EngineReportRequest, { facts: { actor: 't' } } as never);
  }

  it('takes them out of the in-sync set, and is answered when that is kept', async () => {
    expect(await report(['r1', 'r3'])).toEqual({ inSync: ['r1'] });
    expect(kept).toEqual([record]);
    expect(record.replicas[2]).toMatchObject({ mode: 'WO', state: 'removing' });
  });

  it('counts one again that was to leave, before an engine goes on with that one alone', async () => {
    expect(await report(['r3'])).toEqual({ inSync: ['r3'] });
    expect(kept.map(inSyncOf)).toEqual([['r3']]);
    expect(record.replicas.map(({ mode }) => mode)).toEqual(['ERR', 'ERR', 'RW']);
    // The same from an engine whose answer was lost.
    expect(await report(['r3'])).toEqual({ inSync: ['r3'] });
  });

  it.each(['WO', 'ERR'] as const)(
    'is refused when only one is left that does not count (%s): what is held is never acknowledged',
    async (mode) => {
      record = withThird({ mode, state: mode === 'WO' ? 'rebuilding' : 'faulted' });
      const before = record;
      expect(await report(['r3']).catch(toLariatError)).toMatchObject({ code: 'LAST_REPLICA' });
      expect(record).toBe(before);
      expect(kept).toEqual([]);
    },
  );

  it('is taken from an engine that has no leg any more, and the last member goes on to count', async () => {
    record = withThird({ mode: 'WO', state: 'rebuilding' });
    expect(await report([])).toEqual({ inSync: ['r2'] });
    expect(record.replicas.map(({ mode }) => mode)).toEqual(['ERR', 'RW', 'ERR']);
  });

  it('changes nothing when it is not the present engine', async () => {
    const before = record;
    expect(await report(['r3'], 2).catch(toLariatError)).toMatchObject({ code: 'EPOCH_STALE' });
    expect(record).toBe(before);
  });
});

describe('who uses an image', () => {
  it('is every volume whose record names it, whatever becomes of the volume', async () => {
    const image = 'img-000000000001';
    const records = [
      newVolumeRecord({ id: 'vol-1', name: 'v1', image }),
      newVolumeRecord({ id: 'vol-2', name: 'made', image, state: 'creating' }),
      newVolumeRecord({ id: 'vol-3', name: 'gone', image, state: 'deleting' }),
      newVolumeRecord({ id: 'vol-4', name: 'other', image: 'img-000000000002' }),
      newVolumeRecord({ id: 'vol-5', name: 'none', image: null }),
      newVolumeRecord({ id: 'vol-6', name: 'old' }),
    ];
    // The cache may not have heard of the newest.
    const volumes = { listFresh: () => Promise.resolve(records), list: () => [] };
    const controller = new InternalController({ volumes } as never);
    expect(await controller.usersOfImage({ image })).toEqual({
      volumes: [
        { id: 'vol-1', name: 'v1' },
        { id: 'vol-2', name: 'made' },
        { id: 'vol-3', name: 'gone' },
      ],
    });
  });
});
