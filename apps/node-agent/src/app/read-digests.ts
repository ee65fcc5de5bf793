import { DIGEST_BYTES, digestAt, digestCluster } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, MIB, delay } from '@lariat/kernel';
import type { ConnectedDevice } from '../ports/block-connector.port.js';
import type { ClustersToRead } from './allocated-clusters.js';
import type { CommandContext } from './command-handlers.js';

export interface ReadDigestsTask {
  readonly device: Pick<ConnectedDevice, 'sizeBytes' | 'read'>;
  readonly toRead: ClustersToRead;
  readonly progress?: CommandContext['progress'] | undefined;
  /** On average no faster than this. Missing: as fast as it goes. */
  readonly mibPerSecond?: number | undefined;
}

/** Clusters that are read or hashed at a time: hides the way to the target, and keeps a thread of the pool at hashing. */
const IN_FLIGHT = 8;
const ZERO_DIGEST = digestAt({ digests: Buffer.alloc(0) }, 0);

/** The digests of all clusters of a device, of which those to read are read. */
export async function readDigests(task: ReadDigestsTask): Promise<Buffer> {
  const { device, toRead, progress, mibPerSecond = Infinity } = task;
  const { sizeBytes } = device;
  const digests = Buffer.alloc(
    Math.ceil(sizeBytes / CLUSTER_SIZE_BYTES) * DIGEST_BYTES,
    ZERO_DIGEST,
  );
  const totalBytes = toRead.count * CLUSTER_SIZE_BYTES;
  const begunAtMs = performance.now();
  let begun = 0;
  let doneBytes = 0;
  const queue = toRead.clusters()[Symbol.iterator]();
  const work = async (): Promise<void> => {
    for (let next = queue.next(); next.done !== true; next = queue.next()) {
      const dueAtMs = begunAtMs + ((begun * CLUSTER_SIZE_BYTES) / (mibPerSecond * MIB)) * 1_000;
      begun += 1;
      const aheadMs = dueAtMs - performance.now();
      if (aheadMs > 0) await delay(aheadMs);
      const cluster = await device.read(next.value * CLUSTER_SIZE_BYTES, CLUSTER_SIZE_BYTES);
      (await digestCluster(cluster)).copy(digests, next.value * DIGEST_BYTES);
      doneBytes += CLUSTER_SIZE_BYTES;
      progress?.(doneBytes, totalBytes, 'bytes');
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  return digests;
}
