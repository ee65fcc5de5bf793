import type { AllocationRecord } from '@lariat/contracts';
import { withoutPromises } from './promises.js';

/**
 * The disks' records as they would be if each request that has some of its places, and not yet all, gave them back. Each disk
 * is written by itself, so two requests may hold for a moment what the other lacks. Pure.
 *
 * @param records All that there are, without the leases that a volume's record stands behind by now.
 */
export function withoutUnfinished(
  records: readonly AllocationRecord[],
): readonly AllocationRecord[] {
  const made = new Map<string, number>();
  for (const { leases = {} } of records)
    for (const { token } of Object.values(leases)) made.set(token, (made.get(token) ?? 0) + 1);
  return records.map((record) =>
    withoutPromises(
      record,
      Object.keys(record.leases ?? {}),
      (lease) => lease !== undefined && (made.get(lease.token) ?? 0) < (lease.places ?? 0),
    ),
  );
}
