import type { ImageRecord } from '@lariat/contracts';

/**
 * Disks of a removed node whose copy of the image leaves the record: all, while another node has a ready one. The last ready
 * copy stays, to count again if the node is back; an operation that works on the image settles those that it makes. Pure.
 */
export function copiesToForget(
  { copies, operation }: Pick<ImageRecord, 'copies' | 'operation'>,
  node: string,
): readonly string[] {
  if (operation !== null) return [];
  const isKnownElsewhere = copies.some((copy) => copy.node !== node && copy.state === 'ready');
  return copies
    .filter((copy) => copy.node === node && (isKnownElsewhere || copy.state !== 'ready'))
    .map(({ disk }) => disk);
}
