/** Takes the clusters of an image. What is never written must read as zeros. */
export interface ContentSink {
  /** A whole cluster. `bytes` must not be kept, nor changed, once the promise settles; several may be under way. */
  writeCluster(cluster: number, bytes: Buffer): Promise<void>;
  /** All clusters are written; resolves when they are safe. */
  finish(): Promise<void>;
  /** Lets go of what is open, after `finish` or instead of it; writes under way end soon. May be called again. */
  close(): Promise<void>;
}

/** Called once, when the size is known: `sizeBytes` is a multiple of the cluster. */
export type OpenSink = (sizeBytes: number) => Promise<ContentSink>;
