import { randomBytes } from 'node:crypto';
import { CLUSTER_SIZE_BYTES as CLUSTER } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Slot, SlotPool } from '../../domain/slot-pool.js';
import { padded, sumsOf } from '../../testing/images.js';
import { HashLanes } from './hash-lanes.js';
import { Workbenches } from './workbenches.js';

const NEVER = new AbortController().signal;

let pool: SlotPool;
let lanes: HashLanes;
beforeEach(() => {
  pool = new SlotPool(4);
  lanes = new HashLanes(pool);
});
afterEach(() => lanes.close());

async function filled(content: Buffer): Promise<Slot> {
  const slot = await pool.take(NEVER);
  slot.bytes.fill(0);
  content.copy(slot.bytes);
  return slot;
}

describe('the hashing threads', () => {
  it('take both sums of what they are given in parts, and of zeros, with and without an end of zeros', async () => {
    const parts = [randomBytes(CLUSTER), Buffer.alloc(CLUSTER * 2 + 5), randomBytes(7)];
    const [first, , last] = parts;
    const sums = lanes.open();
    await sums.update(await filled(first ?? Buffer.alloc(0)), CLUSTER);
    await sums.zeros(CLUSTER * 2 + 5);
    await sums.update(await filled(last ?? Buffer.alloc(0)), 7);
    const content = Buffer.concat(parts);
    expect(await sums.finish()).toEqual({
      sums: sumsOf(content),
      paddedSums: sumsOf(padded(content)),
    });
  });

  it('keep sums that are under way at once apart', async () => {
    const contents = [randomBytes(100), randomBytes(200)];
    const streams = contents.map(() => lanes.open());
    for (const [at, content] of contents.entries())
      await streams[at]?.update(await filled(content), content.length);
    for (const [at, content] of contents.entries())
      expect((await streams[at]?.finish())?.sums).toEqual(sumsOf(content));
  });

  it('give the digest of the whole cluster, whatever part of it is content', async () => {
    const content = randomBytes(1000);
    const slot = await filled(content);
    const digest = sumsOf(padded(content)).sha256;
    const sums = lanes.open();
    expect((await sums.updateCluster(slot, content.length)).toString('hex')).toBe(digest);
    for (let turn = 0; turn < 4; turn += 1)
      expect((await lanes.digest(slot)).toString('hex')).toBe(digest);
    expect((await sums.finish()).sums).toEqual(sumsOf(content));
  });

  it('fail what was asked of them when they end', async () => {
    const asked = lanes.open().zeros(100 * 1024 * CLUSTER);
    const outcome = asked.then(() => 'done', String);
    await lanes.close();
    expect(await outcome).toContain('has ended');
    await expect(lanes.open().zeros(1)).rejects.toThrow('has ended');
  });
});

describe('the pool of slots', () => {
  it('makes who comes too late wait for a release, in order', async () => {
    const slots = await Promise.all([1, 2, 3, 4].map(() => pool.take(NEVER)));
    const order: string[] = [];
    const waiting = ['first', 'second'].map(async (name) => {
      const slot = await pool.take(NEVER);
      order.push(name);
      return slot;
    });
    expect(pool.freeSlots).toBe(0);
    for (const slot of slots.slice(0, 2)) pool.release(slot);
    expect(await Promise.all(waiting)).toEqual(slots.slice(0, 2));
    expect(order).toEqual(['first', 'second']);
  });

  it('lets go of who is cancelled, and gives the slot to the next', async () => {
    const slots = await Promise.all([1, 2, 3, 4].map(() => pool.take(NEVER)));
    const stop = new AbortController();
    const given = pool.take(stop.signal).then(
      () => 'slot',
      (reason: { code: string }) => reason.code,
    );
    const next = pool.take(NEVER);
    stop.abort();
    expect(await given).toBe('OPERATION_CANCELLED');
    const [slot] = slots;
    if (slot !== undefined) pool.release(slot);
    expect(await next).toBe(slot);
  });
});

describe('the workbenches', () => {
  it('give what an import ended well with to the next, and nothing else', async () => {
    const benches = new Workbenches();
    const first = benches.take();
    const other = benches.take();
    expect(other).not.toBe(first);
    await benches.giveBack(first, true);
    await benches.giveBack(other, false);
    const again = benches.take();
    expect(again).toBe(first);
    const slot = await again.pool.take(NEVER);
    expect(await again.hashing.digest(slot)).toHaveLength(32);
    await expect(other.hashing.open().zeros(1)).rejects.toThrow('has ended');
    // A slot that was not given back would be missing to the next import for ever.
    await benches.giveBack(again, true);
    const fresh = benches.take();
    expect(fresh).not.toBe(again);
    await benches.close();
    await benches.giveBack(fresh, true);
    await expect(fresh.hashing.open().zeros(1)).rejects.toThrow('has ended');
  });
});
