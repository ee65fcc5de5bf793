/**
 * Bytes addressed by offset: what an NVMe/TCP target exports, a host's namespace gives, and soft-target's
 * bdevs are. Offsets and lengths are multiples of `blockSizeBytes`; a call outside the device rejects with
 * BlockIoError('out-of-range'). A resolved write is visible to every later read, and survives the death of
 * the process that holds the bytes; it survives a power cut only after `flush`.
 */
export interface BlockDevice {
  /** RFC 4122, lower case; the namespace's UUID on the wire. */
  readonly uuid: string;
  readonly blockSizeBytes: number;
  readonly sizeBytes: number;
  /**
   * True: once a write has settled, well or not, nothing reads its data any more, and the memory may be used for other
   * data. Missing or false: something may, such as a leg that was given up while it was being written to.
   */
  readonly keepsNoData?: boolean;
  /** The buffer is the caller's own. */
  read(offsetBytes: number, lengthBytes: number): Promise<Buffer>;
  /** `data` must not be changed before the promise settles. */
  write(offsetBytes: number, data: Buffer): Promise<void>;
  writeZeroes(offsetBytes: number, lengthBytes: number): Promise<void>;
  /** A hint that the range is no longer wanted; it reads as zeros or as before. */
  unmap(offsetBytes: number, lengthBytes: number): Promise<void>;
  flush(): Promise<void>;
}

export const BlockIoFailure = Object.freeze({
  outOfRange: 'out-of-range',
  /** No space is left to allocate a cluster. */
  noSpace: 'no-space',
  /** The device is gone or its path is lost. */
  gone: 'gone',
  /** The command was aborted; whether it happened is not known. */
  aborted: 'aborted',
  readOnly: 'read-only',
  media: 'media',
} as const);
export type BlockIoFailure = (typeof BlockIoFailure)[keyof typeof BlockIoFailure];

export class BlockIoError extends Error {
  override readonly name = 'BlockIoError';
  readonly failure: BlockIoFailure;

  constructor(failure: BlockIoFailure, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.failure = failure;
  }
}

/**
 * A reservation of another host forbids the command. Callers that know nothing of reservations see a `media`
 * failure: the device will not do it, and a repetition does not help.
 */
export class ReservationConflictError extends BlockIoError {
  constructor(message: string, cause?: unknown) {
    super(BlockIoFailure.media, message, cause);
  }
}
