import { createHash } from 'node:crypto';
import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import { RpcError } from '../../rpc/rpc-error.js';
import type { DigestThreads } from './digest-threads.js';
import type { LvolBdev } from './lvol-bdev.js';

export const MAX_DIGESTS_PER_ANSWER = 64;
/** Of one request, read or hashed at a time. */
const IN_FLIGHT = 2;

const ofZeros = new Map<number, Buffer>();

/**
 * SHA-256 of each of these clusters, one after the other. What neither the lvol nor anything beneath it has bytes for is
 * zeros, by the very rule that reads follow; all else is read from the disk, past the page cache where that can be: what
 * counts is what the medium has.
 */
export async function clusterDigests(
  bdev: LvolBdev,
  firstCluster: number,
  clusters: number,
  threads: DigestThreads,
): Promise<Buffer> {
  const { lvol, store } = bdev;
  const sizeBytes = store.clusterSizeBytes;
  const digests: Buffer[] = [];
  const queue = Array.from({ length: clusters }, (_, at) => at).values();
  const work = async (): Promise<void> => {
    for (const at of queue) {
      const cluster = firstCluster + at;
      const isZero = store.io.locate(lvol, cluster).kind === 'zeros';
      digests[at] = isZero
        ? zeroDigest(sizeBytes)
        : await threads.digest(sizeBytes, (into) => read(bdev, cluster * sizeBytes, into));
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  return Buffer.concat(digests);
}

async function read(bdev: LvolBdev, offsetBytes: number, into: Buffer): Promise<Buffer> {
  try {
    return await bdev.read(offsetBytes, into.length, into);
  } catch (reason) {
    if (!(reason instanceof BlockIoError)) throw reason;
    throw RpcError.errno(reason.failure === BlockIoFailure.gone ? 'ENODEV' : 'EIO', reason.message);
  }
}

function zeroDigest(sizeBytes: number): Buffer {
  const known = ofZeros.get(sizeBytes);
  if (known !== undefined) return known;
  const digest = createHash('sha256').update(Buffer.alloc(sizeBytes)).digest();
  ofZeros.set(sizeBytes, digest);
  return digest;
}
