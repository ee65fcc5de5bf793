/** A sequence of bytes that is read once, from its start to its end. */
export interface ByteReader {
  /** How many bytes there are in all, where that is known beforehand. */
  readonly totalBytes: number | null;
  /** Fills at least one byte of `into`, and says how many; 0 is the end. One read at a time. */
  read(into: Buffer): Promise<number>;
  /** Ends whatever is behind it; may be called at any time, also twice. */
  close(): Promise<void>;
}

/** Where an image comes from. Each `open` begins at the first byte; whatever it waits for ends when `signal` aborts. */
export interface ImageSource {
  /** For messages and records; holds no secret. */
  readonly description: string;
  open(signal: AbortSignal): Promise<ByteReader>;
}
