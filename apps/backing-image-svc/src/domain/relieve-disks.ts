import { type DiskView, type IdleImageCopy, copiesToFree } from '@lariat/contracts';

/**
 * The idle copies that are to go from disks of which less than so many percent may still be promised: as many as bring
 * them up to that, or all where that is not enough. Pure.
 */
export function copiesToRelieve(
  disks: readonly Pick<DiskView, 'id' | 'allocatableBytes' | 'scheduledBytes'>[],
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
