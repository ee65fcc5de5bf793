import { DIGEST_BYTES, digestCluster } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, MIB, delay } from '@lariat/kernel';
import { MAX_LVOL_CLUSTER_DIGESTS, SpdkError } from '@lariat/spdk';
import type { ConnectedDevice } from '../ports/block-connector.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { CommandContext } from './command-handlers.js';

export interface DigestPace {
  readonly progress?: CommandContext['progress'] | undefined;
  /** On average no faster than this. Missing: as fast as it goes. */
  readonly mibPerSecond?: number | undefined;
}

const METHOD = 'lariat_lvol_get_cluster_digests';
/** Reads in flight, or being hashed: hides the way to the target, and keeps threads of the pool at hashing. */
const READS_IN_FLIGHT = 8;
/** A target does few clusters of a request at a time; the next request is there when one is answered. */
const REQUESTS_IN_FLIGHT = 2;
const CLUSTERS_PER_REQUEST = Math.min(16, MAX_LVOL_CLUSTER_DIGESTS);

/** The digests of all clusters of a device, read through NVMe/TCP as everybody reads them. */
export function readDigests(
  device: Pick<ConnectedDevice, 'sizeBytes' | 'read'>,
  pace: DigestPace,
): Promise<Buffer> {
  const parts = { sizeBytes: device.sizeBytes, partClusters: 1, inFlight: READS_IN_FLIGHT };
  return gather(parts, pace, async (cluster) =>
    digestCluster(await device.read(cluster * CLUSTER_SIZE_BYTES, CLUSTER_SIZE_BYTES)),
  );
}

/**
 * The same by a target that reads and hashes its lvols itself, so that no byte of them is sent: what it has not
 * allocated is zeros, and costs nothing. Undefined where it can't (stock SPDK), and where it could not read all: that
 * the reads tell, with whose fault it is.
 */
export async function digestsByTarget(
  target: TargetPort,
  lvol: { readonly uuid: string; readonly sizeBytes: number },
  pace: DigestPace,
): Promise<Buffer | undefined> {
  if (!target.supports(METHOD)) return undefined;
  const { uuid, sizeBytes } = lvol;
  const parts = { sizeBytes, partClusters: CLUSTERS_PER_REQUEST, inFlight: REQUESTS_IN_FLIGHT };
  try {
    return await gather(parts, pace, async (first, clusters) => {
      const answer = await target.spdk().lvol.getClusterDigests(uuid, first, clusters);
      const isWhole = answer.digests.length === clusters * DIGEST_BYTES;
      if (isWhole && answer.clusterSizeBytes === CLUSTER_SIZE_BYTES) return answer.digests;
      throw new OtherClusters();
    });
  } catch (reason) {
    if (reason instanceof OtherClusters) return undefined;
    if (reason instanceof SpdkError && reason.errno === 'EIO') return undefined;
    throw reason;
  }
}

/** The store was made elsewhere, with clusters of another size. */
class OtherClusters extends Error {}

interface Parts {
  readonly sizeBytes: number;
  readonly partClusters: number;
  readonly inFlight: number;
}

async function gather(
  { sizeBytes, partClusters, inFlight }: Parts,
  { progress, mibPerSecond = Infinity }: DigestPace,
  digestsFrom: (first: number, clusters: number) => Promise<Buffer>,
): Promise<Buffer> {
  const total = sizeBytes / CLUSTER_SIZE_BYTES;
  const digests = Buffer.alloc(total * DIGEST_BYTES);
  const begunAtMs = performance.now();
  let next = 0;
  let done = 0;
  const work = async (): Promise<void> => {
    while (next < total) {
      const first = next;
      const clusters = Math.min(partClusters, total - first);
      next += clusters;
      const dueAtMs = begunAtMs + ((first * CLUSTER_SIZE_BYTES) / (mibPerSecond * MIB)) * 1_000;
      const aheadMs = dueAtMs - performance.now();
      if (aheadMs > 0) await delay(aheadMs);
      (await digestsFrom(first, clusters)).copy(digests, first * DIGEST_BYTES);
      done += clusters;
      progress?.(done * CLUSTER_SIZE_BYTES, sizeBytes, 'bytes');
    }
  };
  try {
    await Promise.all(Array.from({ length: inFlight }, work));
  } finally {
    // After a failure nobody waits for the rest.
    next = total;
  }
  return digests;
}
