import type { AllocationRecord, VolumeRecord } from '@lariat/contracts';
import { withoutLeases, withoutPromises } from '../domain/promises.js';
import type { AllocationRecords } from './allocation-records.js';

/** The volume as JetStream has it; undefined when it is gone; rejects when that is not known. */
export type LeaseHolder = (volume: string) => Promise<VolumeRecord | undefined>;

/**
 * Looks at the leases that have run out: where the volume's record has the replica on that disk the promise
 * stays for good, else it ends. What can't be found out stays (invariant 2). Answers the replicas whose promise
 * has ended.
 */
export async function settleLeases(
  records: Pick<AllocationRecords, 'change'>,
  allocations: readonly AllocationRecord[],
  holderOf: LeaseHolder,
  nowMs: number,
  actor: string,
): Promise<readonly string[]> {
  const ended: string[] = [];
  for (const { disk, leases = {} } of allocations) {
    for (const [replica, { volume, token, expiresAtMs }] of Object.entries(leases)) {
      if (expiresAtMs > nowMs) continue;
      const found = await holderOf(volume).then(
        (record) => ({ record }),
        () => undefined,
      );
      // Not known: the next look may tell.
      if (found === undefined) continue;
      const isHeld =
        found.record?.replicas.some((held) => held.id === replica && held.disk === disk) === true;
      await records.change(
        disk,
        (record) => {
          const isSame = (lease?: { readonly token: string }): boolean => lease?.token === token;
          // Renewed meanwhile: whoever did that counts on it.
          const next = isHeld
            ? withoutLeases(record, [replica], isSame)
            : withoutPromises(record, [replica], isSame);
          return next === record ? undefined : { value: next, events: [] };
        },
        actor,
      );
      if (!isHeld) ended.push(replica);
    }
  }
  return ended;
}
