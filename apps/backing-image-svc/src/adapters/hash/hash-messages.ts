import type { ChecksumAlgorithm } from '../../domain/checksum.js';

/** What a hashing thread is started with. */
export interface HashWorkerData {
  readonly algorithm: ChecksumAlgorithm;
  /** The slots of a SlotPool. */
  readonly memory: SharedArrayBuffer;
  readonly slotBytes: number;
}

interface Request {
  readonly id: number;
  /** Which of the sums under way it is for; one begins with the first request that names it. */
  readonly stream: number;
}

export type HashRequest =
  | (Request & {
      readonly op: 'update';
      readonly slot: number;
      readonly lengthBytes: number;
      /** Answer with the digest of the whole slot as well. */
      readonly cluster: boolean;
    })
  /** The digest of the whole slot, whatever the thread's algorithm. */
  | (Request & { readonly op: 'digest'; readonly slot: number })
  | (Request & { readonly op: 'zeros'; readonly lengthBytes: number })
  | (Request & { readonly op: 'finish'; readonly paddingBytes: number });

export interface HashAnswer {
  readonly id: number;
  readonly cluster?: Uint8Array;
  readonly hex?: string;
  /** With `paddingBytes` zeros after it. */
  readonly paddedHex?: string;
}
