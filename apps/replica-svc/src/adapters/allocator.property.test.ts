import { type AllocationRecord, type Placement, hasCode } from '@lariat/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { disksOf } from '../domain/disk-state.js';
import { type PlaceRequest, place } from '../domain/place.js';
import {
  InstanceRecords,
  SharedAllocations,
  type WriteFate,
  nodeWithDisk,
} from './allocation-store.test-support.js';
import { Allocator } from './allocator.js';
import { LEASE_MS } from './settle-leases.js';

const LIMIT_BYTES = 10;
const NODES = ['n1', 'n2', 'n3'].map((name) => nodeWithDisk(name, LIMIT_BYTES));

const sum = (record: AllocationRecord | undefined): number =>
  Object.values(record?.replicas ?? {}).reduce((total, bytes) => total + bytes, 0);

interface Asked {
  readonly instance: number;
  readonly volume: number;
  readonly replicas: number;
  readonly sizeBytes: number;
}

interface Outcome {
  readonly asked: Asked;
  readonly placements: readonly Placement[] | undefined;
  readonly error: unknown;
}

const idsOf = ({ volume, replicas }: Asked): string[] =>
  Array.from({ length: replicas }, (_, index) => `v${volume}-r${index}`);

const requestOf = (asked: Asked): PlaceRequest => ({
  volume: `v${asked.volume}`,
  replicas: idsOf(asked),
  sizeBytes: asked.sizeBytes,
  excludeNodes: [],
});

const arbitraryAsked = fc.record({
  instance: fc.integer({ min: 0, max: 2 }),
  volume: fc.integer({ min: 0, max: 5 }),
  replicas: fc.integer({ min: 1, max: 3 }),
  sizeBytes: fc.integer({ min: 1, max: 6 }),
});

const fates = (fc.constantFrom as <T>(...values: T[]) => fc.Arbitrary<T>)<WriteFate>(
  'stored',
  'stored',
  'stored',
  'stored',
  'stored',
  'stored',
  'stored',
  'lost',
  'stored-but-answer-lost',
);

/** Three instances on one bucket; the scheduler decides whose read or write is next. */
function cluster(scheduler: fc.Scheduler, fateList: readonly WriteFate[]) {
  const clock = { now: 0, nowMs: () => clock.now };
  const over: string[] = [];
  const shared = new SharedAllocations((record) => {
    if (sum(record) > LIMIT_BYTES) over.push(`${record.disk}: ${sum(record)}`);
  });
  const fatesLeft = [...fateList];
  const turns = {
    wait: () => scheduler.schedule(Promise.resolve(), 'turn'),
    fate: (): WriteFate => fatesLeft.shift() ?? 'stored',
  };
  const setFaults = (next: readonly WriteFate[]): void => {
    fatesLeft.splice(0, fatesLeft.length, ...next);
  };
  const nodes = { list: () => NODES };
  const instances = [0, 1, 2].map(() => {
    const records = new InstanceRecords(shared, turns);
    return new Allocator(records, nodes, clock, undefined, undefined, turns.wait);
  });
  const reserve = async (asked: Asked): Promise<Outcome> => {
    const allocator = instances[asked.instance];
    if (allocator === undefined) throw new Error('there are three');
    try {
      const placements = await allocator.reserve(requestOf(asked));
      return { asked, placements, error: undefined };
    } catch (error) {
      return { asked, placements: undefined, error };
    }
  };
  const promised = (): ReadonlyMap<string, readonly string[]> => {
    const disks = new Map<string, string[]>();
    for (const [disk, { value }] of shared.records)
      for (const id of Object.keys(value.replicas)) disks.set(id, [...(disks.get(id) ?? []), disk]);
    return disks;
  };
  return { clock, over, shared, instances, reserve, promised, setFaults };
}

/** One size and count a volume: the same request twice is the same request. */
function asSameVolumes(list: readonly Asked[]): readonly Asked[] {
  const first = new Map<number, Asked>();
  return list.map((asked) => {
    const known = first.get(asked.volume) ?? asked;
    first.set(asked.volume, known);
    return { ...known, instance: asked.instance };
  });
}

describe('allocations that race', () => {
  it('never overbook a disk, give all places or none, and leave nothing of what failed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(arbitraryAsked, { minLength: 1, maxLength: 8 }),
        async (scheduler, list) => {
          // Each volume is asked for once: what each outcome leaves is then plain.
          const asks = list.map((asked, volume) => ({ ...asked, volume }));
          const { over, shared, reserve, promised } = cluster(scheduler, []);
          const all = Promise.all(asks.map(reserve));
          await scheduler.waitFor(all);
          expect(over).toEqual([]);
          const places = promised();
          const outcomes = await all;
          // What was given is all that stands in the way of the others: nobody was refused for room that came back.
          const disks = NODES.flatMap((node) =>
            disksOf(node, (disk) => shared.records.get(disk)?.value),
          );
          const refused = outcomes.filter(({ placements }) => placements === undefined);
          expect(refused.filter(({ asked }) => place(requestOf(asked), disks).placed)).toEqual([]);
          const given = outcomes.flatMap(({ placements }) => placements ?? []);
          expect(places).toEqual(new Map(given.map(({ replica, disk }) => [replica, [disk]])));
          expect(
            outcomes.map(({ asked, placements, error }) => [
              placements?.map(({ replica }) => replica) ?? idsOf(asked),
              placements !== undefined || hasCode(error, 'NO_CAPACITY'),
            ]),
          ).toEqual(asks.map((asked) => [idsOf(asked), true]));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('keep to that when writes are lost or their answers are, and requests come twice; leases end the rest', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(arbitraryAsked, { minLength: 1, maxLength: 8 }),
        fc.array(fates, { maxLength: 60 }),
        async (scheduler, list, fateList) => {
          const asks = asSameVolumes(list);
          const { clock, over, shared, instances, reserve, promised, setFaults } = cluster(
            scheduler,
            fateList,
          );
          const all = Promise.all(asks.map(reserve));
          await scheduler.waitFor(all);
          expect(over).toEqual([]);
          const outcomes = await all;
          const places = promised();
          for (const { placements } of outcomes)
            for (const { replica, disk } of placements ?? [])
              expect(places.get(replica)).toContain(disk);
          // The volume that is recorded is that of the first answer that came.
          const kept = new Map<string, Placement>();
          for (const { placements } of outcomes)
            for (const placement of placements ?? [])
              if (!kept.has(placement.replica)) kept.set(placement.replica, placement);
          clock.now += LEASE_MS;
          setFaults([]);
          const holderOf = async (volume: string) => {
            const mine = [...kept.values()].filter(({ replica }) => replica.startsWith(volume));
            return mine.length === 0
              ? undefined
              : ({ replicas: mine.map(({ replica, disk }) => ({ id: replica, disk })) } as never);
          };
          const [first] = instances;
          if (first === undefined) throw new Error('there are three');
          // To give back nobody's promise reads all: it stands for the watch that feeds a real cache.
          const settled = first.release(['nobody']).then(() => first.settleLeases(holderOf));
          await scheduler.waitFor(settled);
          expect(promised()).toEqual(
            new Map([...kept].map(([replica, { disk }]) => [replica, [disk]])),
          );
          for (const { value } of shared.records.values())
            expect(Object.keys(value.leases ?? {})).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('grow on all disks or on none, also against others that take the room', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(arbitraryAsked, { maxLength: 4 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 12 }),
        async (scheduler, list, toBytes, otherBytes) => {
          const { over, shared, instances, reserve } = cluster(scheduler, []);
          const mine = { instance: 0, volume: 90, replicas: 3, sizeBytes: 2 };
          const theirs = { ...mine, instance: 1, volume: 91 };
          const placed = reserve(mine).then(() => reserve(theirs));
          await scheduler.waitFor(placed);
          const grow = (asked: Asked, sizeBytes: number): Promise<boolean> =>
            instances[asked.instance]?.grow(idsOf(asked), sizeBytes).then(
              () => true,
              (error: unknown) => {
                if (hasCode(error, 'NO_CAPACITY')) return false;
                throw error;
              },
            ) ?? Promise.resolve(false);
          const racers = list.map((asked, volume) => reserve({ ...asked, volume }));
          const all = Promise.all([grow(mine, toBytes), grow(theirs, otherBytes), ...racers]);
          await scheduler.waitFor(all);
          const [mineGrew, theirsGrew] = await all;
          expect(over).toEqual([]);
          const sizesOf = (asked: Asked) =>
            idsOf(asked).map((id) =>
              [...shared.records.values()]
                .map(({ value }) => value.replicas[id])
                .find((bytes) => bytes !== undefined),
            );
          const after = (grew: unknown, bytes: number) => (grew === true ? bytes : 2);
          expect(sizesOf(mine)).toEqual(Array.from({ length: 3 }, () => after(mineGrew, toBytes)));
          expect(sizesOf(theirs)).toEqual(
            Array.from({ length: 3 }, () => after(theirsGrew, otherBytes)),
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  it('are as before when a growth that failed anyhow is undone', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fates, { maxLength: 20 }),
        fc.integer({ min: 3, max: 12 }),
        async (scheduler, fateList, toBytes) => {
          const { over, shared, instances, reserve, setFaults } = cluster(scheduler, []);
          const mine = { instance: 0, volume: 90, replicas: 3, sizeBytes: 2 };
          await scheduler.waitFor(reserve(mine));
          const [first, second] = instances;
          if (first === undefined || second === undefined) throw new Error('there are three');
          setFaults(fateList);
          const grown = first.grow(idsOf(mine), toBytes).then(
            () => true,
            () => false,
          );
          await scheduler.waitFor(grown);
          setFaults([]);
          const hasGrown = await grown;
          // Whichever instance the undo comes to.
          const undone = hasGrown
            ? Promise.resolve()
            : (fateList.length % 2 === 0 ? first : second).grow(idsOf(mine), 2);
          await scheduler.waitFor(undone);
          expect(over).toEqual([]);
          const sizes = [...shared.records.values()].map(({ value }) => sum(value));
          expect(sizes).toEqual([1, 2, 3].map(() => (hasGrown ? toBytes : 2)));
        },
      ),
      { numRuns: 300 },
    );
  });
});
