/** A copy of an image that may go: nothing stands on it, nobody has asked for it lately, and there are enough others. */
export interface IdleImageCopy {
  readonly image: string;
  readonly node: string;
  readonly disk: string;
  /** What is promised to it, and given back when it goes. */
  readonly sizeBytes: number;
  /** Milliseconds since 1970. */
  readonly idleSinceMs: number;
  /** How many copies the image has beyond its minimum: of all its idle ones, no more may go. */
  readonly spare: number;
}

export interface CopiesToFree {
  readonly copies: readonly IdleImageCopy[];
  /** What they give: less than was asked for when the disk has no more. */
  readonly freedBytes: number;
}

/**
 * The copies on a disk that give so many bytes, idle for the longest first; `chosen` are to go already, from this disk or
 * others, and count against what their images can spare. Pure.
 */
export function copiesToFree(
  idle: readonly IdleImageCopy[],
  disk: string,
  needBytes: number,
  chosen: readonly IdleImageCopy[] = [],
): CopiesToFree {
  const spareOf = ({ image, spare }: IdleImageCopy): number =>
    spare - chosen.filter((copy) => copy.image === image).length;
  const copies: IdleImageCopy[] = [];
  let freedBytes = 0;
  const candidates = idle
    .filter((copy) => copy.disk === disk && !chosen.includes(copy) && spareOf(copy) > 0)
    .toSorted((a, b) => a.idleSinceMs - b.idleSinceMs || a.image.localeCompare(b.image));
  for (const copy of candidates) {
    if (freedBytes >= needBytes) break;
    copies.push(copy);
    freedBytes += copy.sizeBytes;
  }
  return { copies, freedBytes };
}

/** The copies that give each of the disks what it lacks; undefined when one of them has not enough. Pure. */
export function copiesToFreeAll(
  idle: readonly IdleImageCopy[],
  lackingBytes: ReadonlyMap<string, number>,
): readonly IdleImageCopy[] | undefined {
  const chosen: IdleImageCopy[] = [];
  for (const [disk, needBytes] of lackingBytes) {
    const { copies, freedBytes } = copiesToFree(idle, disk, needBytes, chosen);
    if (freedBytes < needBytes) return undefined;
    chosen.push(...copies);
  }
  return chosen;
}
