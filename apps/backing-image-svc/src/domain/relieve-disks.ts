import {
  type DiskView,
  type IdleImageCopy,
  type ImageRecord,
  copiesToFree,
} from '@lariat/contracts';

type DiskRoom = Pick<DiskView, 'id' | 'allocatableBytes' | 'scheduledBytes'>;

/**
 * The idle copies that are to go from disks of which less than so many percent may still be promised: as many as bring
 * them up to that, or all where that is not enough. Pure.
 */
export function copiesToRelieve(
  disks: readonly DiskRoom[],
  idle: readonly IdleImageCopy[],
  leastPercent: number,
): readonly IdleImageCopy[] {
  const chosen: IdleImageCopy[] = [];
  for (const { id, allocatableBytes, scheduledBytes } of disks) {
    const leastBytes = Math.ceil((allocatableBytes / 100) * leastPercent);
    const lackingBytes = leastBytes - (allocatableBytes - scheduledBytes);
    chosen.push(...copiesToFree(idle, id, lackingBytes, chosen).copies);
  }
  return chosen;
}

/** The disk as it is when the copies on it that are being given up have gone: nothing more has to go for their room. Pure. */
export const withoutLeaving =
  (images: readonly Pick<ImageRecord, 'sizeBytes' | 'copies'>[]) =>
  ({ id, allocatableBytes, scheduledBytes }: DiskRoom): DiskRoom => ({
    id,
    allocatableBytes,
    scheduledBytes: images.reduce((left, { sizeBytes, copies }) => {
      const isLeaving = copies.some(({ disk, state }) => disk === id && state === 'deleting');
      return isLeaving ? left - sizeBytes : left;
    }, scheduledBytes),
  });
