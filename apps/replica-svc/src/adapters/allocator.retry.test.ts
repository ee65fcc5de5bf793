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
  const second = new Allocator(new InstanceRecords(shared, turns), nodes, clock);
  const promised = () =>
    [...shared.records.values()].flatMap(({ value }) => Object.keys(value.replicas)).toSorted();
  return { records, first, second, promised };
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
