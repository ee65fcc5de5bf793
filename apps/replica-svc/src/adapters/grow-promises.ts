import { type AllocationRecord, lariatError } from '@lariat/contracts';
import { formatBytes } from '@lariat/kernel';
import { type DiskState, freeBytes } from '../domain/disk-state.js';
import { withSizes } from '../domain/promises.js';
import type { AllocationIndex, AllocationRecords } from './allocation-records.js';

export interface Growth {
  readonly replicas: readonly string[];
  readonly sizeBytes: number;
}

/**
 * Changes the promises of replicas on any number of disks: all or none. Each disk is a record of its own, so one
 * that refuses after others have agreed makes those go back; a caller that dies between undoes it in its saga.
 */
export async function growPromises(
  records: AllocationRecords,
  index: AllocationIndex,
  disks: readonly DiskState[],
  { replicas, sizeBytes }: Growth,
  actor: string,
): Promise<void> {
  assertRoom(disks, { replicas, sizeBytes });
  const limits = new Map(disks.map((disk) => [disk.disk, disk.allocatableBytes]));
  const touched = [...new Set(replicas.flatMap((replica) => index.disksOf(replica)))];
  const before = new Map<string, ReadonlyMap<string, number>>();
  const resize = async (disk: string): Promise<void> => {
    await records.change(
      disk,
      (record) => {
        const mine = replicas.filter((replica) => record.replicas[replica] !== undefined);
        before.set(disk, new Map(mine.map((id) => [id, record.replicas[id] ?? 0])));
        const sizes = new Map(mine.map((id) => [id, sizeBytes]));
        // On the very record that is written: the look before may have been overtaken.
        return changed(record, withSizes(record, sizes, limits.get(disk) ?? 0));
      },
      actor,
    );
  };
  const results = await Promise.allSettled(touched.map(resize));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed === undefined) return;
  // Also where the outcome is unknown: a promise that was not changed is not changed back.
  await Promise.allSettled(
    Array.from(before, ([disk, sizes]) => revert(records, disk, sizes, sizeBytes, actor)),
  );
  throw failed.reason;
}

async function revert(
  records: AllocationRecords,
  disk: string,
  before: ReadonlyMap<string, number>,
  grownBytes: number,
  actor: string,
): Promise<void> {
  // A write whose answer was lost is not in the cache.
  await records.read(disk);
  await records.change(
    disk,
    (record) => {
      const grown = [...before].filter(([replica]) => record.replicas[replica] === grownBytes);
      return changed(record, withSizes(record, new Map(grown), Number.MAX_SAFE_INTEGER));
    },
    actor,
  );
}

const changed = (
  before: AllocationRecord,
  after: AllocationRecord,
): { readonly value: AllocationRecord; readonly events: readonly [] } | undefined =>
  before === after ? undefined : { value: after, events: [] };

/** What the growth lacks on each disk that has too little room for it, by the disk's id. */
export function lackingForGrowth(
  disks: readonly DiskState[],
  growth: Growth,
): ReadonlyMap<string, number> {
  return new Map(
    lackingDisks(disks, growth).map(({ disk, moreBytes }) => [
      disk.disk,
      moreBytes - freeBytes(disk),
    ]),
  );
}

function lackingDisks(disks: readonly DiskState[], { replicas, sizeBytes }: Growth) {
  return disks.flatMap((disk) => {
    const moreBytes = replicas.reduce((sum, replica) => {
      const hasBytes = disk.replicas.get(replica);
      return hasBytes === undefined ? sum : sum + sizeBytes - hasBytes;
    }, 0);
    if (moreBytes <= 0 || moreBytes <= freeBytes(disk)) return [];
    return [{ disk, moreBytes, freeBytes: Math.max(0, freeBytes(disk)) }];
  });
}

/** All disks that lack room, so that one answer tells what to make free. */
function assertRoom(disks: readonly DiskState[], growth: Growth): void {
  const { replicas, sizeBytes } = growth;
  const lacking = lackingDisks(disks, growth);
  if (lacking.length === 0) return;
  const told = lacking.map(
    ({ disk, moreBytes, freeBytes: free }) =>
      `${disk.node}/${disk.name}: ${formatBytes(free)} free, ${formatBytes(moreBytes)} more needed`,
  );
  throw lariatError(
    'NO_CAPACITY',
    `${lacking.length} of the ${replicas.length} replica(s) can't grow to ${formatBytes(sizeBytes)} where they are, so none does. ${told.join('; ')}. Delete or move what else is there.`,
    {
      sizeBytes,
      disks: lacking.map(({ disk, moreBytes, freeBytes: free }) => ({
        node: disk.node,
        disk: disk.disk,
        name: disk.name,
        freeBytes: free,
        moreBytes,
      })),
    },
  );
}
