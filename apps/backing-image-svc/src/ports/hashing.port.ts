import type { Sums } from '../domain/checksum.js';
import type { Slot } from '../domain/slot-pool.js';

export interface FinishedSums {
  readonly sums: Sums;
  /** With zeros up to the end of the last cluster, as a device of whole clusters reads. */
  readonly paddedSums: Sums;
}

/** Both sums of one sequence of bytes. A slot may be used again once the promise of what was asked of it settles. */
export interface RunningSums {
  update(slot: Slot, lengthBytes: number): Promise<void>;
  /** As `update`, with the digest of the whole slot. */
  updateCluster(slot: Slot, lengthBytes: number): Promise<Buffer>;
  zeros(lengthBytes: number): Promise<void>;
  finish(): Promise<FinishedSums>;
}

/** Takes sums beside the thread that asks. */
export interface Hashing {
  open(): RunningSums;
  /** The digest of a whole slot, which goes into no sum. */
  digest(slot: Slot): Promise<Buffer>;
  close(): Promise<void>;
}
