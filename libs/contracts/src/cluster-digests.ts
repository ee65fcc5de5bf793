import { createHash, webcrypto } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import { lariatError } from './error-codes.js';

/** SHA-256 of each cluster, 32 bytes each, deflated (runs of equal clusters are short), in base64. */
export type DigestPage = string;

/** 128 KiB of digests: below NATS' 1 MiB a message, whatever they are. */
export const MAX_DIGESTS_PER_PAGE = 4_096;

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

/** The digest of a whole cluster. Most of a thin volume is zeros: to compare is several times faster than to hash. */
export function clusterDigestOf(cluster: Buffer): Buffer {
  return cluster.equals(ZEROS) ? ZERO_DIGEST : sha256(cluster);
}

/** As `clusterDigestOf`, hashed in a thread of the pool: SHA-256 of a cluster holds its thread for a millisecond. */
export async function digestCluster(cluster: Buffer): Promise<Buffer> {
  if (cluster.equals(ZEROS)) return ZERO_DIGEST;
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', cluster));
}

/** Whether it is the digest of a cluster of zeros. */
export const isZeroDigest = (digest: Buffer): boolean => digest.equals(ZERO_DIGEST);

/** The digest of one cluster. What lies past an lvol's end reads as zeros in a larger clone of it. */
export function digestAt({ digests }: Pick<ClusterDigests, 'digests'>, cluster: number): Buffer {
  const from = cluster * DIGEST_BYTES;
  return from < digests.length ? digests.subarray(from, from + DIGEST_BYTES) : ZERO_DIGEST;
}

/** One digest over the whole, in hex: equal when size and all clusters are. */
export function rootDigestOf({ sizeBytes, digests }: ClusterDigests): string {
  return createHash('sha256').update(`${sizeBytes}:`).update(digests).digest('hex');
}

/** The digests of some clusters as they go into a message; fewer where the content ends before. */
export function encodeDigestPage(
  { digests }: Pick<ClusterDigests, 'digests'>,
  firstCluster: number,
  clusters: number,
): DigestPage {
  const from = firstCluster * DIGEST_BYTES;
  const page = digests.subarray(from, from + clusters * DIGEST_BYTES);
  return deflateRawSync(page, { level: 1 }).toString('base64');
}

/** The digests of a page; `maxClusters` bounds what a malformed one can unfold to. */
export function decodeDigestPage(
  page: DigestPage,
  maxClusters: number = MAX_DIGESTS_PER_PAGE,
): readonly Buffer[] {
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
