import type { ReplicaChecksums } from '@lariat/contracts';
import type { SagaRecord } from '@lariat/saga';

/** The result of a `replica.checksum` operation, as it was recorded. */
export function checksumReplicas(ended: SagaRecord): ReplicaChecksums {
  return ended.result as unknown as ReplicaChecksums;
}
