import type { CommandEnvelope, ImageRecord, Inventory, VolumeRecord } from '@lariat/contracts';
import { lariatError } from '@lariat/contracts';
import { ReconcileCounts } from '@lariat/kernel';
import { beforeEach, describe, expect, it, test } from 'vitest';
import { attachedVolume, replicaOn } from '../domain/volume.test-support.js';
import { Adoption, findLostCopies } from './adopt-lost.js';

const REPLICA = 'rep-000000000000';
const LOST = { replica: REPLICA, volume: 'vol-1', disk: 'd' };
const HEAD = { uuid: 'u', disk: 'd', sizeBytes: 4 };

const inventory = (given: Partial<Inventory> = {}): Inventory => ({
  ...{ node: 'n1', agentInstance: 'i', replicas: [], engines: [] },
  unowned: {
    things: [REPLICA, `${REPLICA}.snap-1`].map((name) => ({
      ...{ kind: 'lvol', name: `d/${name}`, uuid: name, disk: 'd', since: '', beneath: [] },
      ...{ sizeBytes: 4, allocatedBytes: 1 },
    })),
    ...{ omitted: 0, disks: ['d'] },
  },
  ...given,
});
const volumeWith = (given: Partial<VolumeRecord> = {}): VolumeRecord =>
  attachedVolume({ attachment: null, replicas: [replicaOn(REPLICA, 'n1')], ...given });

describe('a replica on the disk of a node that does not know it', () => {
  let sent: CommandEnvelope<'replica.adopt'>[];
  let refuses: boolean;
  let nowMs: number;
  let cached: VolumeRecord;
  let stored: VolumeRecord | undefined;
  let adoption: Adoption;
  const inputs = async (seen = inventory()) => {
    await adoption.consider(seen);
    return sent.map(({ input }) => input);
  };

  beforeEach(() => {
    [sent, refuses, nowMs] = [[], false, 0];
    cached = volumeWith();
    stored = cached;
    const send = (_node: string, envelope: CommandEnvelope<'replica.adopt'>): Promise<object> => {
      sent.push(envelope);
      return refuses
        ? Promise.reject(lariatError('REPLICA_NOT_FOUND', 'it has no head'))
        : Promise.resolve({});
    };
    const volumes = { list: () => [cached], fresh: () => Promise.resolve(stored) };
    const log = { info: () => undefined, warn: () => undefined } as never;
    const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
    const images = { list: () => [], fresh: () => Promise.resolve(undefined) };
    const counts = new ReconcileCounts();
    adoption = new Adoption({ send } as never, volumes, images, clock, log, counts);
  });

  it('is taken up once, with all that goes by its name', async () => {
    expect(await inputs()).toEqual([LOST]);
    expect(await inputs()).toEqual([LOST]);
  });

  it('is asked for again, not at once, when its node refuses', async () => {
    refuses = true;
    await inputs();
    expect(await inputs()).toHaveLength(1);
    nowMs += 30_000;
    expect(await inputs()).toHaveLength(2);
  });

  it('is taken up when it is faulted too: what it has need not be copied', async () => {
    stored = volumeWith({ replicas: [replicaOn(REPLICA, 'n1', { mode: 'ERR' })] });
    cached = stored;
    expect(await inputs()).toEqual([LOST]);
  });

  test.each<[string, Partial<VolumeRecord>]>([
    ['an operation works on its volume', { operation: 'op-1' }],
    ['its volume is in doubt', { inDoubt: ['a copy is missing'] }],
    ['it is being made', { replicas: [replicaOn(REPLICA, 'n1', { mode: 'WO' })] }],
    ['it is on record on another disk', { replicas: [replicaOn(REPLICA, 'n1', { disk: 'e' })] }],
    ['it is on record on another node', { replicas: [replicaOn(REPLICA, 'n2')] }],
  ])('is left alone when %s', async (_why, given) => {
    stored = volumeWith(given);
    expect(await inputs()).toEqual([]);
    cached = stored;
    nowMs += 30_000;
    expect(await inputs()).toEqual([]);
  });

  it('is left alone when its node knows it, or its volume is gone by now', async () => {
    const replicas = [{ replica: REPLICA, volume: 'vol-1', head: HEAD }];
    expect(await inputs(inventory({ replicas }))).toEqual([]);
    stored = undefined;
    expect(await inputs()).toEqual([]);
  });
});

describe('a copy of an image on the disk of a node that does not know it', () => {
  const IMAGE = 'img-000000000000';
  const copy = { node: 'n1', disk: 'd', state: 'ready', lvolUuid: IMAGE };
  const seen = inventory({
    unowned: {
      things: [
        {
          ...{ kind: 'lvol', name: `d/${IMAGE}`, uuid: IMAGE, disk: 'd', since: '', beneath: [] },
          ...{ sizeBytes: 4, allocatedBytes: 1 },
        },
      ],
      ...{ omitted: 0, disks: ['d'] },
    },
  });
  const find = (given: object, state = 'ready') =>
    findLostCopies(seen, [
      { id: IMAGE, state, copies: [{ ...copy, ...given }] } as unknown as ImageRecord,
    ]);

  it('is taken up when its image has that very copy on record', () => {
    expect(find({})).toEqual([{ image: IMAGE, disk: 'd', lvolUuid: IMAGE }]);
  });

  test.each([
    ['another one is on record', { lvolUuid: 'u' }],
    ['it is being fetched', { state: 'fetching' }],
    ['it is on record on another disk', { disk: 'e' }],
    ['it is on record on another node', { node: 'n2' }],
  ])('is left alone when %s', (_why, given) => {
    expect(find(given)).toEqual([]);
  });

  it('is left alone when its image is being deleted', () => {
    expect(find({}, 'deleting')).toEqual([]);
  });
});
