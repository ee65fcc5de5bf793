import { createHash } from 'node:crypto';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';

/** The same digest as a node takes of the clusters of its lvols: SHA-256 of the whole cluster. */
export const DIGEST_BYTES = 32;

const ZEROS = Buffer.alloc(CLUSTER_SIZE_BYTES);
export const ZERO_CLUSTER_DIGEST = createHash('sha256').update(ZEROS).digest();

/** True when all bytes are zero; `bytes` has at most one cluster. */
export function isZero(bytes: Buffer): boolean {
  return ZEROS.compare(bytes, 0, bytes.length, 0, bytes.length) === 0;
}

const ZERO_PAGE_DIGESTS = 1024;
const ZERO_PAGE = Buffer.concat(
  Array.from({ length: ZERO_PAGE_DIGESTS }, () => ZERO_CLUSTER_DIGEST),
);

/**
 * One digest over all clusters of a device, in order, equal to the one that a node makes of an lvol of this size and
 * content: SHA-256 of `<sizeBytes>:` and the digests one after the other.
 */
export class RootDigest {
  private readonly hash;

  /** `sizeBytes` is the device's: whole clusters. */
  constructor(sizeBytes: number) {
    this.hash = createHash('sha256').update(`${sizeBytes}:`);
  }

  add(digest: Buffer): void {
    this.hash.update(digest);
  }

  addZeros(clusters: number): void {
    for (let left = clusters; left > 0; left -= ZERO_PAGE_DIGESTS)
      this.hash.update(
        left >= ZERO_PAGE_DIGESTS ? ZERO_PAGE : ZERO_PAGE.subarray(0, left * DIGEST_BYTES),
      );
  }

  /** Lower-case hex; the last call. */
  finish(): string {
    return this.hash.digest('hex');
  }
}
