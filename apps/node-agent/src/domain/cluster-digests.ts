import { createHash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { lariatError } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';

export const DIGEST_BYTES = 32;

const ZEROS = Buffer.alloc(CLUSTER_SIZE_BYTES);
const ZERO_DIGEST = sha256(ZEROS);

/** SHA-256 of each cluster of an lvol's logical content, one after the other. */
export interface ClusterDigests {
  readonly sizeBytes: number;
  readonly digests: Buffer;
}

function sha256(data: Buffer): Buffer {
  return createHash('sha256').update(data).digest();
}

/** Most of a thin volume is zeros: to compare is several times faster than to hash. */
export function digestOf(cluster: Buffer): Buffer {
  return cluster.equals(ZEROS) ? ZERO_DIGEST : sha256(cluster);
}

export const isZeroDigest = (digest: Buffer): boolean => digest.equals(ZERO_DIGEST);

/** The digest of one cluster. What lies past an lvol's end reads as zeros in a larger clone of it. */
export function digestAt({ digests }: Pick<ClusterDigests, 'digests'>, cluster: number): Buffer {
  const from = cluster * DIGEST_BYTES;
  return from < digests.length ? digests.subarray(from, from + DIGEST_BYTES) : ZERO_DIGEST;
}

/** One digest over the whole: equal when size and all clusters are. */
export function rootOf({ sizeBytes, digests }: ClusterDigests): string {
  return createHash('sha256').update(`${sizeBytes}:`).update(digests).digest('hex');
}

export function encodePage(of: ClusterDigests, firstCluster: number, clusters: number): string {
  const from = firstCluster * DIGEST_BYTES;
  const page = of.digests.subarray(from, from + clusters * DIGEST_BYTES);
  return deflateRawSync(page, { level: 1 }).toString('base64');
}

/** The digests of a page; `maxClusters` bounds what a malformed one can unfold to. */
export function decodePage(page: string, maxClusters: number): readonly Buffer[] {
  let bytes: Buffer;
  try {
    bytes = inflateRawSync(Buffer.from(page, 'base64'), {
      maxOutputLength: maxClusters * DIGEST_BYTES,
    });
  } catch (reason) {
    throw lariatError('REQUEST_INVALID', 'the page of digests cannot be read', {}, reason);
  }
  if (bytes.length % DIGEST_BYTES !== 0)
    throw lariatError('REQUEST_INVALID', `a page of ${bytes.length} bytes holds no whole digests`);
  return Array.from({ length: bytes.length / DIGEST_BYTES }, (_, index) =>
    bytes.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES),
  );
}
