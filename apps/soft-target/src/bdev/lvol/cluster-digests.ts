import { createHash, webcrypto } from 'node:crypto';
import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import { RpcError } from '../../rpc/rpc-error.js';
import type { LvolBdev } from './lvol-bdev.js';

export const MAX_DIGESTS_PER_ANSWER = 64;
/** Of one request, read or hashed at a time: two threads of the pool are left for everybody's I/O. */
const IN_FLIGHT = 2;

const ofZeros = new Map<number, Buffer>();

/**
 * SHA-256 of each of these clusters, one after the other. What neither the lvol nor anything beneath it has bytes for is
 * zeros, by the very rule that reads follow; all else is read from the disk.
 */
export async function clusterDigests(
  bdev: LvolBdev,
  firstCluster: number,
  clusters: number,
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
        : await sha256(await read(bdev, cluster * sizeBytes, sizeBytes));
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  return Buffer.concat(digests);
}

async function read(bdev: LvolBdev, offsetBytes: number, lengthBytes: number): Promise<Buffer> {
  try {
    return await bdev.read(offsetBytes, lengthBytes);
  } catch (reason) {
    if (!(reason instanceof BlockIoError)) throw reason;
    throw RpcError.errno(reason.failure === BlockIoFailure.gone ? 'ENODEV' : 'EIO', reason.message);
  }
}

/** In a thread of the pool: it takes about a millisecond. */
const sha256 = async (data: Buffer): Promise<Buffer> =>
  Buffer.from(await webcrypto.subtle.digest('SHA-256', data));

function zeroDigest(sizeBytes: number): Buffer {
  const known = ofZeros.get(sizeBytes);
  if (known !== undefined) return known;
  const digest = createHash('sha256').update(Buffer.alloc(sizeBytes)).digest();
  ofZeros.set(sizeBytes, digest);
  return digest;
}
