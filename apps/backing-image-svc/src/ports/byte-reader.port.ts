import type { ClusterMap } from '../domain/cluster-map.js';

/** Content of which it is known where data may be; only there it is read. */
export interface MappedContent {
  readonly sizeBytes: number;
  readonly map: ClusterMap;
  readCluster(cluster: number): Promise<Buffer>;
}

/** A sequence of bytes that is read once, from its start to its end. */
export interface ByteReader {
  /** How many bytes there are in all, where that is known beforehand. */
  readonly totalBytes: number | null;
  /** Missing: nothing is known but the bytes, one after the other. */
  readonly mapped?: MappedContent;
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
