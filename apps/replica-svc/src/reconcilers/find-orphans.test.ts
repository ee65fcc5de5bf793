import type {
  ImageRecord,
  Inventory,
  OrphanEnd,
  OrphanRecord,
  VolumeRecord,
} from '@lariat/contracts';
import { ReconcileCounts } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { type FoundOrphan, orphanIdOf } from '../domain/orphans.js';
import { attachedVolume, readyNode, replicaOn } from '../domain/volume.test-support.js';
import { deleteDue } from './delete-orphans.js';
import { OrphanSearch } from './find-orphans.js';

const REPLICA = 'rep-000000000000';
const HEAD = { uuid: 'u', disk: 'disk-1', sizeBytes: 4 };
const ended: { id: string; end: OrphanEnd }[] = [];
let records: Map<string, OrphanRecord>;
let added: number;
let volumes: VolumeRecord[];
let deletedVolumes: Set<string>;
let imageRecords: ImageRecord[];
let nowMs: number;
let search: OrphanSearch;

const log = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  debug: () => undefined,
} as never;

const inventory = (given: Partial<Inventory> = {}): Inventory => ({
  ...{ node: 'n1', agentInstance: 'i', replicas: [], engines: [] },
  unowned: {
    things: [
      {
        ...{ kind: 'lvol', name: `disk-1/${REPLICA}`, uuid: 'u', disk: 'disk-1', since: 's' },
        ...{ sizeBytes: 4, allocatedBytes: 1, beneath: [] },
      },
    ],
    ...{ omitted: 0, disks: ['disk-1'] },
  },
  ...given,
});
const empty = inventory({ unowned: { things: [], omitted: 0, disks: ['disk-1'] } });

beforeEach(() => {
  records = new Map();
  [ended.length, added, nowMs] = [0, 0, 0];
  volumes = [];
  deletedVolumes = new Set();
  imageRecords = [];
  let onEnd: (id: string) => void = () => undefined;
  const orphans = {
    list: () => [...records.values()],
    add: (found: FoundOrphan) => {
      const record = { ...found, id: orphanIdOf(found), foundAt: new Date(0).toISOString() };
      records.set(record.id, record);
      added += 1;
      return Promise.resolve(record);
    },
    update: () => Promise.resolve(),
    end: (id: string, end: OrphanEnd) => {
      records.delete(id);
      ended.push({ id, end });
      onEnd(id);
      return Promise.resolve();
    },
    onEnd: (listener: (id: string) => void) => {
      onEnd = listener;
      return () => undefined;
    },
  };
  const view = {
    list: () => volumes,
    cached: (id: string) => volumes.find((volume) => volume.id === id),
    fresh: (id: string) => Promise.resolve(volumes.find((volume) => volume.id === id)),
  };
  const deleted = { has: (id: string) => Promise.resolve(deletedVolumes.has(id)) };
  const images = { list: () => imageRecords };
  const clock = { monotonicMs: () => nowMs };
  search = new OrphanSearch(orphans, view, images, deleted, clock, log);
});

describe('the search for orphans', () => {
  it('puts a thing on record once, however often it is told', async () => {
    for (let round = 0; round < 3; round += 1) await search.consider(inventory());
    expect({ added, kept: records.size }).toEqual({ added: 1, kept: 1 });
  });

  it('says that one has vanished when its node has it no more', async () => {
    await search.consider(inventory());
    await search.consider(empty);
    expect(ended.map(({ end }) => end)).toEqual(['vanished']);
  });

  it('says that one is adopted when a volume comes to want it, and when its node knows it', async () => {
    await search.consider(inventory());
    volumes = [attachedVolume({ replicas: [replicaOn(REPLICA, 'n1')] })];
    await search.consider(inventory());
    expect(ended.map(({ end }) => end)).toEqual(['adopted']);
    volumes = [];
    nowMs += 60_000;
    await search.consider(inventory());
    await search.consider({
      ...empty,
      replicas: [{ replica: REPLICA, volume: 'vol-1', head: HEAD }],
    });
    expect(ended[1]).toMatchObject({ end: 'adopted' });
  });

  it('leaves the copy of an image that is on record, and finds any other', async () => {
    const name = 'disk-1/img-000000000000';
    const [thing] = inventory().unowned?.things ?? [];
    if (thing === undefined) throw new Error('there is one');
    const seen = inventory({
      unowned: { things: [{ ...thing, name }], omitted: 0, disks: ['disk-1'] },
    });
    const copy = { node: 'n1', disk: 'disk-1', state: 'ready', lvolUuid: 'u' };
    imageRecords = [{ id: 'img-000000000000', copies: [copy] } as unknown as ImageRecord];
    await search.consider(seen);
    expect(records.size).toBe(0);
    imageRecords = [];
    await search.consider(seen);
    expect(records.size).toBe(1);
  });

  it('does not find again what has just gone, by an inventory that was on its way', async () => {
    await search.consider(inventory());
    await search.consider(empty);
    await search.consider(inventory());
    expect(records.size).toBe(0);
    nowMs += 60_000;
    await search.consider(inventory());
    expect(records.size).toBe(1);
  });

  it('leaves replicas of deleted volumes, and of those on record, to the sweep', async () => {
    const replicas = [
      { replica: 'rep-a', volume: 'vol-deleted' },
      { replica: 'rep-b', volume: 'vol-1' },
      { replica: 'rep-c', volume: 'vol-lost' },
    ];
    volumes = [attachedVolume()];
    deletedVolumes.add('vol-deleted');
    await search.consider({ ...empty, replicas });
    expect([...records.values()].map(({ name }) => name)).toEqual(['rep-c']);
  });
});

describe('orphans whose grace has passed', () => {
  const HOUR_MS = 3_600_000;
  let asked: string[];
  let wallMs: number;
  const askedAtMs = new Map<string, number>();
  const round = (state: 'ready' | 'down' = 'ready', graceMs: number | null = HOUR_MS) =>
    deleteDue(
      {
        orphans: { list: () => [...records.values()] },
        nodes: { list: () => [readyNode('n1', { state })] },
        client: {
          request: (_name: string, { orphan }: { orphan: string }) => {
            asked.push(orphan);
            return Promise.resolve({});
          },
        } as never,
        clock: { nowMs: () => wallMs, monotonicMs: () => wallMs },
        ...{ counts: new ReconcileCounts(), log, policy: { graceMs } },
      },
      askedAtMs,
    );

  beforeEach(async () => {
    asked = [];
    wallMs = 0;
    askedAtMs.clear();
    await search.consider(inventory());
  });

  it('are asked to be deleted, not before, and not again at once', async () => {
    await round();
    wallMs = HOUR_MS;
    await round();
    await round();
    expect(asked).toEqual([...records.keys()]);
    wallMs += 60_000;
    await round();
    expect(asked).toHaveLength(2);
  });

  it('are left while their node is away, and where none is deleted by itself', async () => {
    wallMs = 2 * HOUR_MS;
    await round('down');
    await round('ready', null);
    expect(asked).toEqual([]);
  });
});
