import { setImmediate } from 'node:timers/promises';
import { type AllocationRecord, lariatError } from '@lariat/contracts';
import type { Versioned } from '@lariat/messaging';
import { describe, expect, it } from 'vitest';
import {
  InstanceRecords,
  SharedAllocations,
  nodeWithDisk,
} from './allocation-store.test-support.js';
import { Allocator } from './allocator.js';

const turns = { wait: () => Promise.resolve(), fate: () => 'stored' as const };
const clock = { nowMs: () => 0 };
const nodes = { list: () => ['n1', 'n2'].map((name) => nodeWithDisk(name, 100)) };
const request = { volume: 'v', replicas: ['v-a', 'v-b'], sizeBytes: 10, excludeNodes: [] };

/** Something happens just before a write, or the write fails. */
class Interrupted extends InstanceRecords {
  before: (key: string) => Promise<void> = () => Promise.resolve();

  override async create(
    key: string,
    value: AllocationRecord,
  ): Promise<Versioned<AllocationRecord>> {
    await this.before(key);
    return super.create(key, value);
  }

  override async update(
    key: string,
    previous: Versioned<AllocationRecord>,
    value: AllocationRecord,
  ): Promise<Versioned<AllocationRecord>> {
    await this.before(key);
    return super.update(key, previous, value);
  }
}

function setUp() {
  const shared = new SharedAllocations();
  const records = new Interrupted(shared, turns);
  const first = new Allocator(records, nodes, clock);
  const pauses = { count: 0 };
  const pause = async (): Promise<void> => {
    pauses.count += 1;
    await setImmediate();
  };
  const others = new InstanceRecords(shared, turns);
  const second = new Allocator(others, nodes, clock, undefined, undefined, pause);
  const promised = () =>
    [...shared.records.values()].flatMap(({ value }) => Object.keys(value.replicas)).toSorted();
  return { records, first, second, pauses, promised };
}

const lost = (): Promise<never> => Promise.reject(lariatError('NATS_UNAVAILABLE', 'lost'));

describe('a request that comes to two instances', () => {
  it('keeps what the second was told when the first fails after it', async () => {
    const { records, first, second, promised } = setUp();
    let told: unknown;
    records.before = async (key) => {
      if (key !== 'disk-n2') return;
      // The first has `v-a` by now. The second finds it there, counts on it, and takes the other disk first.
      records.before = (again) => (again === 'disk-n2' ? lost() : Promise.resolve());
      told = await second.reserve(request);
    };
    await expect(first.reserve(request)).rejects.toMatchObject({ code: 'NATS_UNAVAILABLE' });
    expect(told).toEqual([
      { replica: 'v-a', node: 'n1', disk: 'disk-n1' },
      { replica: 'v-b', node: 'n2', disk: 'disk-n2' },
    ]);
    expect(promised()).toEqual(['v-a', 'v-b']);
  });

  it('gets the places of the first from the second, and all can be given back by either', async () => {
    const { first, second, promised } = setUp();
    expect(await second.reserve(request)).toEqual(await first.reserve(request));
    expect(promised()).toEqual(['v-a', 'v-b']);
    await second.release(request.replicas);
    expect(promised()).toEqual([]);
  });
});

describe('a request that lacks what another one may give back', () => {
  const [mine, theirs] = ['v', 'w'].map((volume) => ({
    ...request,
    ...{ volume, replicas: [`${volume}-a`, `${volume}-b`], sizeBytes: 60 },
  })) as [typeof request, typeof request];

  it('waits, and gets it when the other gives it back', async () => {
    const { records, first, second, pauses, promised } = setUp();
    let told: Promise<unknown> = Promise.resolve();
    records.before = async (key) => {
      if (key !== 'disk-n2') return;
      // The first has its place on n1 by now, and is about to lose what it has on n2.
      records.before = () => Promise.resolve();
      told = second.reserve(theirs);
      while (pauses.count === 0) await setImmediate();
      await lost();
    };
    await expect(first.reserve(mine)).rejects.toMatchObject({ code: 'NATS_UNAVAILABLE' });
    expect(await told).toHaveLength(2);
    expect(promised()).toEqual(theirs.replicas);
  });

  /** The first dies with one of its two places made. */
  const leaveHalf = async ({
    records,
    first,
    promised,
  }: ReturnType<typeof setUp>): Promise<void> => {
    records.before = (key) =>
      key === 'disk-n1' && promised().length === 0 ? Promise.resolve() : lost();
    await expect(first.reserve(mine)).rejects.toThrow(/lost/);
    expect(promised()).toEqual(['v-a']);
  };

  it('is refused in the end when the other has died, and holds nothing then', async () => {
    const cluster = setUp();
    await leaveHalf(cluster);
    await expect(cluster.second.reserve(theirs)).rejects.toMatchObject({ code: 'NO_CAPACITY' });
    expect(cluster.pauses.count).toBe(40);
    expect(cluster.promised()).toEqual(['v-a']);
  });

  it('is refused at once where it would not fit without the other either', async () => {
    const cluster = setUp();
    await leaveHalf(cluster);
    const large = { ...theirs, sizeBytes: 101 };
    await expect(cluster.second.reserve(large)).rejects.toMatchObject({ code: 'NO_CAPACITY' });
    expect(cluster.pauses.count).toBe(0);
  });
});

describe('a request of which one write fails', () => {
  it('leaves nothing on the disks whose writes did not', async () => {
    const { records, first, promised } = setUp();
    records.before = (key) => (key === 'disk-n2' ? lost() : Promise.resolve());
    await expect(first.reserve(request)).rejects.toMatchObject({ code: 'NATS_UNAVAILABLE' });
    expect(promised()).toEqual([]);
    records.before = () => Promise.resolve();
    expect(await first.reserve(request)).toHaveLength(2);
  });

  it('is done when it comes again, though its own places fill the nodes by then', async () => {
    const { records, first, second, promised } = setUp();
    // Not even giving back works: the service dies here, and another one goes on with the saga.
    records.before = (key) => {
      if (key === 'disk-n1' && promised().length === 0) return Promise.resolve();
      return lost();
    };
    await expect(first.reserve({ ...request, sizeBytes: 60 })).rejects.toThrow(/lost/);
    expect(promised()).toEqual(['v-a']);
    expect(await second.reserve({ ...request, sizeBytes: 60 })).toHaveLength(2);
    expect(promised()).toEqual(['v-a', 'v-b']);
  });
});
