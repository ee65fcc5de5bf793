import type { ReplicaRecord, VolumeRecord } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import {
  InstanceRecords,
  SharedAllocations,
  nodeWithDisk,
} from './allocation-store.test-support.js';
import { Allocator } from './allocator.js';
import { LEASE_MS } from './settle-leases.js';

const volumeWith = (replicas: readonly Pick<ReplicaRecord, 'id' | 'disk'>[]): VolumeRecord =>
  ({ replicas }) as unknown as VolumeRecord;

/** One instance, with a clock that the test turns; its bucket stores every write at once. */
function setUp() {
  const clock = { now: 1_000, nowMs: () => clock.now };
  const shared = new SharedAllocations();
  const turns = { wait: () => Promise.resolve(), fate: () => 'stored' as const };
  const nodes = { list: () => ['n1', 'n2'].map((name) => nodeWithDisk(name, 100)) };
  const allocator = new Allocator(new InstanceRecords(shared, turns), nodes, clock);
  const reserve = (volume: string) =>
    allocator.reserve({
      volume,
      replicas: [`${volume}-a`, `${volume}-b`],
      sizeBytes: 10,
      excludeNodes: [],
    });
  const leases = () =>
    [...shared.records.values()].flatMap(({ value }) => Object.keys(value.leases ?? {})).toSorted();
  const promised = () =>
    [...shared.records.values()].flatMap(({ value }) => Object.keys(value.replicas)).toSorted();
  return { clock, allocator, reserve, leases, promised };
}

describe('a lease', () => {
  it('keeps its promise until it runs out, whatever the volume is', async () => {
    const { clock, allocator, reserve, promised } = setUp();
    await reserve('v1');
    clock.now += LEASE_MS - 1;
    expect(await allocator.settleLeases(() => Promise.resolve(undefined))).toEqual([]);
    expect(promised()).toEqual(['v1-a', 'v1-b']);
  });

  it('is settled early when the volume has the replica, so that records stay small', async () => {
    const { clock, allocator, reserve, leases, promised } = setUp();
    const placements = await reserve('v1');
    await reserve('v2');
    const record = volumeWith(placements.map(({ replica, disk }) => ({ id: replica, disk })));
    const looked: string[] = [];
    const holderOf = async (volume: string) => {
      looked.push(volume);
      return volume === 'v1' ? record : undefined;
    };
    clock.now += 14_999;
    expect(await allocator.settleLeases(holderOf)).toEqual([]);
    expect(looked).toEqual([]);
    clock.now += 1;
    expect(await allocator.settleLeases(holderOf)).toEqual([]);
    expect(looked.toSorted()).toEqual(['v1', 'v2']);
    expect(leases()).toEqual(['v2-a', 'v2-b']);
    expect(promised()).toEqual(['v1-a', 'v1-b', 'v2-a', 'v2-b']);
  });

  it('ends with its promise when the volume is gone, or has the replica elsewhere or not at all', async () => {
    const { clock, allocator, reserve, leases, promised } = setUp();
    await reserve('v1');
    const [first] = await reserve('v2');
    clock.now += LEASE_MS;
    const elsewhere = first?.disk === 'disk-n1' ? 'disk-n2' : 'disk-n1';
    const records = new Map([['v2', volumeWith([{ id: 'v2-a', disk: elsewhere }])]]);
    const ended = await allocator.settleLeases(async (volume) => records.get(volume));
    expect([...ended].toSorted()).toEqual(['v1-a', 'v1-b', 'v2-a', 'v2-b']);
    expect([promised(), leases()]).toEqual([[], []]);
  });

  it('ends without its promise when the volume counts on it, and never again after', async () => {
    const { clock, allocator, reserve, leases, promised } = setUp();
    const placements = await reserve('v1');
    clock.now += LEASE_MS;
    const record = volumeWith(placements.map(({ replica, disk }) => ({ id: replica, disk })));
    expect(await allocator.settleLeases(async () => record)).toEqual([]);
    expect([promised(), leases()]).toEqual([['v1-a', 'v1-b'], []]);
    clock.now += LEASE_MS;
    expect(await allocator.settleLeases(async () => undefined)).toEqual([]);
    expect(promised()).toEqual(['v1-a', 'v1-b']);
  });

  it('stays when it can’t be told what the volume has, and others are looked at all the same', async () => {
    const { clock, allocator, reserve, promised } = setUp();
    await reserve('v1');
    await reserve('v2');
    clock.now += LEASE_MS;
    await allocator.settleLeases((volume) =>
      volume === 'v1' ? Promise.reject(new Error('no answer')) : Promise.resolve(undefined),
    );
    expect(promised()).toEqual(['v1-a', 'v1-b']);
  });

  it('is renewed by a saga that asks again, so that what it was told stays true', async () => {
    const { clock, allocator, reserve, leases, promised } = setUp();
    const before = await reserve('v1');
    clock.now += LEASE_MS - 1;
    expect(await reserve('v1')).toEqual(before);
    clock.now += LEASE_MS - 1;
    await allocator.settleLeases(() => Promise.resolve(undefined));
    expect(promised()).toEqual(['v1-a', 'v1-b']);
    await allocator.release(['v1-a', 'v1-b']);
    expect([promised(), leases()]).toEqual([[], []]);
  });

  it('that ran out between two looks is renewed or ended, never both', async () => {
    const { clock, allocator, reserve, promised } = setUp();
    await reserve('v1');
    clock.now += LEASE_MS;
    // The saga asks again while the volume is being looked for.
    const ended = await allocator.settleLeases(async () => {
      await reserve('v1');
      return undefined;
    });
    expect(promised()).toEqual(['v1-a', 'v1-b']);
    expect(ended).toEqual([]);
  });
});
