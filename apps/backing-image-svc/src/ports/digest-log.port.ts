/** Takes the digests of an image's clusters, in order. */
export interface DigestLog {
  add(digest: Buffer): Promise<void>;
  /** Clusters that are all zeros. */
  addZeros(clusters: number): Promise<void>;
  /** The root digest over all of them, of a device of that many bytes. */
  finish(deviceSizeBytes: number): Promise<string>;
}
