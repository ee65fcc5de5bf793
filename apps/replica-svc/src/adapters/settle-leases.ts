import type { AllocationRecord, CapacityLease, VolumeRecord } from '@lariat/contracts';
import { withoutLeases, withoutPromises } from '../domain/promises.js';
import type { AllocationRecords } from './allocation-records.js';

/** How long a promise stands that no volume's record has come to stand behind; a create takes seconds. */
export const LEASE_MS = 600_000;
/** Before that the asker is most likely still at it: looking would be in vain. */
const LOOK_AFTER_MS = 15_000;

/** The volume as JetStream has it; undefined when it is gone; rejects when that is not known. */
export type LeaseHolder = (volume: string) => Promise<VolumeRecord | undefined>;

type Verdict = 'settled' | 'ended';

/**
 * Looks at the promises under a lease. Where the volume's record has the replica on that disk the promise stays
 * for good; where it has not, and the lease has run out, the promise ends. What can't be found out stays
 * (invariant 2). One write a disk. Answers the replicas whose promise has ended.
 */
export async function settleLeases(
  records: Pick<AllocationRecords, 'change'>,
  allocations: readonly AllocationRecord[],
  holderOf: LeaseHolder,
  nowMs: number,
  actor: string,
): Promise<readonly string[]> {
  const known = new Map<string, Promise<readonly VolumeRecord['replicas'][] | undefined>>();
  const replicasOf = (volume: string): Promise<readonly VolumeRecord['replicas'][] | undefined> => {
    const found =
      known.get(volume) ??
      holderOf(volume).then(
        (record) => (record === undefined ? [] : [record.replicas]),
        // Not known: the next look may tell.
        () => undefined,
      );
    known.set(volume, found);
    return found;
  };
  const ended: string[] = [];
  for (const { disk, leases = {} } of allocations) {
    const verdicts = new Map<string, Verdict>();
    for (const [replica, { volume, token, expiresAtMs }] of Object.entries(leases)) {
      if (nowMs < expiresAtMs - LEASE_MS + LOOK_AFTER_MS) continue;
      const replicas = await replicasOf(volume);
      if (replicas === undefined) continue;
      const isHeld = replicas.flat().some((held) => held.id === replica && held.disk === disk);
      if (isHeld) verdicts.set(token + replica, 'settled');
      else if (expiresAtMs <= nowMs) verdicts.set(token + replica, 'ended');
    }
    if (verdicts.size > 0) ended.push(...(await apply(records, disk, verdicts, actor)));
  }
  return ended;
}

/** By token and replica: a lease that was renewed meanwhile is another one, and somebody counts on it. */
async function apply(
  records: Pick<AllocationRecords, 'change'>,
  disk: string,
  verdicts: ReadonlyMap<string, Verdict>,
  actor: string,
): Promise<readonly string[]> {
  let ended: readonly string[] = [];
  await records.change(
    disk,
    (record) => {
      const having = (verdict: Verdict): string[] =>
        Object.entries(record.leases ?? {})
          .filter(
            ([id, { token }]: [string, CapacityLease]) => verdicts.get(token + id) === verdict,
          )
          .map(([id]) => id);
      ended = having('ended');
      const next = withoutLeases(withoutPromises(record, ended), having('settled'));
      return next === record ? undefined : { value: next, events: [] };
    },
    actor,
  );
  return ended;
}
