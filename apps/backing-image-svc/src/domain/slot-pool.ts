import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import { cancelled, throwIfCancelled } from './cancelled.js';

/** One cluster of memory that the hashing threads see as well. */
export interface Slot {
  readonly index: number;
  readonly bytes: Buffer;
}

/** All the memory that an import's data passes through: when none is free, what reads must wait for what writes. */
export class SlotPool {
  readonly memory: SharedArrayBuffer;
  private readonly free: Slot[];
  private readonly waiting: ((slot: Slot) => void)[] = [];

  constructor(readonly slots: number) {
    this.memory = new SharedArrayBuffer(slots * CLUSTER_SIZE_BYTES);
    this.free = Array.from({ length: slots }, (_, index) => ({
      index,
      bytes: Buffer.from(this.memory, index * CLUSTER_SIZE_BYTES, CLUSTER_SIZE_BYTES),
    }));
  }

  get freeSlots(): number {
    return this.free.length;
  }

  async take(signal: AbortSignal): Promise<Slot> {
    throwIfCancelled(signal);
    const slot = this.free.pop();
    if (slot !== undefined) return slot;
    return new Promise((resolve, reject) => {
      const wake = (next: Slot): void => {
        signal.removeEventListener('abort', giveUp);
        resolve(next);
      };
      const giveUp = (): void => {
        this.waiting.splice(this.waiting.indexOf(wake), 1);
        reject(cancelled(signal));
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.waiting.push(wake);
    });
  }

  release(slot: Slot): void {
    const next = this.waiting.shift();
    if (next === undefined) this.free.push(slot);
    else next(slot);
  }
}
