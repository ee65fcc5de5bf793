import { allocateAligned } from '../aligned-buffer.js';

/** Less than this costs less to allocate than it is worth keeping. */
const LEAST_BYTES = 64 * 1024;
/** Kept by a target, all of its connections together. */
const KEPT_BYTES = 8 << 20;

/** Memory for the data of one command. */
export interface TransferBuffer {
  readonly data: Buffer;
  /** Nothing reads or writes `data` any more. */
  release(): void;
}

/**
 * Memory that commands' data comes into, used again and again: a fresh MiB costs the kernel 256 pages to zero, and V8 a
 * garbage collection for every few dozen of them.
 */
export class TransferMemory {
  private readonly free: Buffer[] = [];
  private left: number;

  /** `largestBytes`: no transfer is longer. */
  constructor(private readonly largestBytes: number) {
    this.left = Math.floor(KEPT_BYTES / largestBytes);
  }

  /** `isReusable`: whoever gets the data says when it has done with it. */
  take(lengthBytes: number, isReusable: boolean): TransferBuffer {
    const kept = isReusable && lengthBytes >= LEAST_BYTES ? this.kept() : undefined;
    // Not from Node's pool: a device may keep it for long.
    if (kept === undefined)
      return { data: Buffer.allocUnsafeSlow(lengthBytes), release: () => undefined };
    let isLent = true;
    const release = (): void => {
      if (isLent) this.free.push(kept);
      isLent = false;
    };
    return { data: kept.subarray(0, lengthBytes), release };
  }

  private kept(): Buffer | undefined {
    const known = this.free.pop();
    if (known !== undefined || this.left === 0) return known;
    this.left -= 1;
    return allocateAligned(this.largestBytes);
  }
}
