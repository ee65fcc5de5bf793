import {
  type AllocationRecord,
  type CapacityLease,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { formatBytes } from '@lariat/kernel';
import { scheduledBytesOf } from './disk-state.js';

/** Changes of one disk's allocation record. Pure; what changes nothing gives the very record back. */

export interface NewPromise {
  readonly replica: string;
  readonly sizeBytes: number;
  readonly lease: CapacityLease;
}

/** A copy of an image that is on a disk, or is to come there. */
export interface ImageCopyPromise {
  readonly image: string;
  readonly node: string;
  readonly disk: string;
  readonly sizeBytes: number;
}

/** Promises, or renews the leases of what is promised already. */
export function withPromises(
  record: AllocationRecord,
  promises: readonly NewPromise[],
): AllocationRecord {
  if (promises.length === 0) return record;
  const replicas = { ...record.replicas };
  const leases = { ...record.leases };
  for (const { replica, sizeBytes, lease } of promises) {
    replicas[replica] ??= sizeBytes;
    leases[replica] = lease;
  }
  return { ...record, replicas, leases };
}

/**
 * Promises what replicas have already, whether it fits or not: the bytes are there. Under a lease all the same: the
 * volume may be on its way out.
 */
export function withRestored(
  record: AllocationRecord,
  promises: readonly NewPromise[],
): AllocationRecord {
  const missing = promises.filter((promise) => isMissing(record, promise));
  if (missing.length === 0) return record;
  const replicas = { ...record.replicas };
  const leases = { ...record.leases };
  for (const { replica, sizeBytes, lease } of missing) {
    replicas[replica] = sizeBytes;
    leases[replica] ??= lease;
  }
  return { ...record, replicas, leases };
}

/** Whether the replica is promised nothing on the disk, or less. */
export const isMissing = (
  record: AllocationRecord,
  { replica, sizeBytes }: Pick<NewPromise, 'replica' | 'sizeBytes'>,
): boolean => (record.replicas[replica] ?? -1) < sizeBytes;

/** Takes promises back; `isMine` may spare one that another request has renewed. */
export function withoutPromises(
  record: AllocationRecord,
  replicas: readonly string[],
  isMine: (lease: CapacityLease | undefined) => boolean = () => true,
): AllocationRecord {
  const gone = replicas.filter(
    (replica) => record.replicas[replica] !== undefined && isMine(record.leases?.[replica]),
  );
  if (gone.length === 0) return record;
  const keep = <T>(values: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(values).filter(([replica]) => !gone.includes(replica)));
  return { ...record, replicas: keep(record.replicas), leases: keep(record.leases ?? {}) };
}

/** The promises that a volume's record now stands behind need no lease any more. */
export function withoutLeases(
  record: AllocationRecord,
  settled: readonly string[],
): AllocationRecord {
  const gone = new Set(settled);
  const leases = Object.entries(record.leases ?? {});
  const left = leases.filter(([replica]) => !gone.has(replica));
  return left.length === leases.length ? record : { ...record, leases: Object.fromEntries(left) };
}

/** Replicas on the disk whose lease has done its work: their volume, as it was heard of last, has them there. */
export function settledOn(
  { disk, leases = {} }: AllocationRecord,
  volumeOf: (volume: string) => Pick<VolumeRecord, 'replicas'> | undefined,
): readonly string[] {
  return Object.entries(leases)
    .filter(([replica, { volume }]) =>
      volumeOf(volume)?.replicas.some((held) => held.id === replica && held.disk === disk),
    )
    .map(([replica]) => replica);
}

/**
 * Changes what is promised to replicas that are on the disk. Growing past the limit throws NO_CAPACITY;
 * shrinking, or staying, always succeeds: also below a limit that was lowered meanwhile.
 */
export function withSizes(
  record: AllocationRecord,
  sizesBytes: ReadonlyMap<string, number>,
  limitBytes: number,
): AllocationRecord {
  const replicas = { ...record.replicas };
  for (const [replica, sizeBytes] of sizesBytes)
    if (replicas[replica] !== undefined) replicas[replica] = sizeBytes;
  const beforeBytes = scheduledBytesOf(record);
  const afterBytes = scheduledBytesOf({ ...record, replicas });
  if (afterBytes > beforeBytes && afterBytes > limitBytes) {
    throw lariatError(
      'NO_CAPACITY',
      `Disk ${record.disk} on node '${record.node}' has ${formatBytes(Math.max(0, limitBytes - beforeBytes))} left; ${formatBytes(afterBytes - beforeBytes)} more are needed.`,
      { disk: record.disk, node: record.node },
    );
  }
  const changed = Object.keys(replicas).some((id) => replicas[id] !== record.replicas[id]);
  return changed ? { ...record, replicas } : record;
}

/**
 * Promises room for a copy of an image, which has it already or is about to be made. One that does not fit throws
 * NO_CAPACITY, unless `isThere`: then the bytes are taken whether it fits or not.
 */
export function withImageCopy(
  record: AllocationRecord,
  { image, sizeBytes }: Pick<ImageCopyPromise, 'image' | 'sizeBytes'>,
  limitBytes: number,
  isThere = false,
): AllocationRecord {
  const hasBytes = record.images?.[image] ?? 0;
  if (hasBytes >= sizeBytes) return record;
  const freeBytes = limitBytes - scheduledBytesOf(record);
  if (!isThere && sizeBytes - hasBytes > freeBytes) {
    throw lariatError(
      'NO_CAPACITY',
      `Disk ${record.disk} on node '${record.node}' has ${formatBytes(Math.max(0, freeBytes))} left; a copy of image ${image} needs ${formatBytes(sizeBytes)}.`,
      { disk: record.disk, node: record.node, image, sizeBytes },
    );
  }
  return { ...record, images: { ...record.images, [image]: sizeBytes } };
}

export function withoutImageCopy(record: AllocationRecord, image: string): AllocationRecord {
  const { [image]: gone, ...images } = record.images ?? {};
  if (gone === undefined) return record;
  const { images: _before, ...rest } = record;
  return Object.keys(images).length === 0 ? rest : { ...rest, images };
}

export function withoutImageCopies(record: AllocationRecord): AllocationRecord {
  return Object.keys(record.images ?? {}).reduce(withoutImageCopy, record);
}
