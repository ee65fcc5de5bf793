import { SlotPool } from '../../domain/slot-pool.js';
import { HashLanes } from './hash-lanes.js';

/** 12 MiB keep two hashing threads, a reader and six writes busy. */
const SLOTS = 12;

/** All the memory that an import's data passes through, and the threads that take its sums. */
export interface Workbench {
  readonly pool: SlotPool;
  readonly hashing: HashLanes;
}

/**
 * Keeps what an import has worked with for the next one: memory that threads shared is given back late, and a few
 * imports in a row would hold a few times as much.
 */
export class Workbenches {
  private readonly idle: Workbench[] = [];
  private isClosed = false;

  take(): Workbench {
    const bench = this.idle.pop() ?? make();
    bench.hashing.wake();
    return bench;
  }

  /** `isClean`: all that was asked of it was answered. After a failure it is not, and its threads end. */
  async giveBack(bench: Workbench, isClean: boolean): Promise<void> {
    if (this.isClosed || !isClean || bench.pool.freeSlots !== SLOTS) return bench.hashing.close();
    bench.hashing.rest();
    this.idle.push(bench);
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all(this.idle.splice(0).map(({ hashing }) => hashing.close()));
  }
}

function make(): Workbench {
  const pool = new SlotPool(SLOTS);
  return { pool, hashing: new HashLanes(pool) };
}
