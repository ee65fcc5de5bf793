import type {
  IdleImageCopy,
  ImageCopyRecord,
  ImageCopyReport,
  ImageRecord,
} from '@lariat/contracts';

/** A copy that a node has and no record wants. */
export interface StrayCopy {
  readonly image: string;
  readonly disk: string;
}

/**
 * The copies of a node that have no owner. One of an image that is not on record has none only if it is known that the
 * image was deleted: a store that has lost its data knows of no image. While an operation works on the image, or on the
 * copy, it decides. Pure.
 */
export function findStrays(
  node: string,
  reports: readonly Pick<ImageCopyReport, 'image' | 'disk'>[],
  recordOf: (image: string) => ImageRecord | undefined,
  wasDeleted: (image: string) => boolean,
): readonly StrayCopy[] {
  return reports.flatMap(({ image, disk }) => {
    const record = recordOf(image);
    if (record === undefined) return wasDeleted(image) ? [{ image, disk }] : [];
    const isWanted = record.copies.some((copy) => copy.disk === disk && copy.node === node);
    return isWanted || record.operation !== null ? [] : [{ image, disk }];
  });
}

/** Ready copies on record of which their node says that they are not on their disk any more. Pure. */
export function findAbsent(
  node: string,
  reports: readonly Pick<ImageCopyReport, 'image' | 'disk' | 'presence'>[],
  recordOf: (image: string) => ImageRecord | undefined,
): readonly StrayCopy[] {
  return reports
    .filter(({ presence }) => presence === 'absent')
    .filter(({ image, disk }) => {
      const record = recordOf(image);
      const copy = record?.copies.find((one) => one.disk === disk && one.node === node);
      return record?.state === 'ready' && copy?.state === 'ready';
    })
    .map(({ image, disk }) => ({ image, disk }));
}

/** How long a copy that a volume has asked for is kept, so that its clone can be made. */
export const WANTED_FOR_MS = 60_000;

/** All that decides whether a copy may go, beside its record. */
export interface CopySituation {
  /** What the nodes say of how many stand on a copy; null: nothing is known. */
  readonly clonesOf: (image: string, copy: Pick<ImageCopyRecord, 'node' | 'disk'>) => number | null;
  /** Whether a node can be told to delete one, and one that it has counts as there. */
  readonly isReady: (node: string) => boolean;
  readonly nowMs: number;
  /** How long it must have been idle; never less than WANTED_FOR_MS. */
  readonly idleForMs: number;
}

/**
 * The copies that may go, idle for the longest first: unused, not asked for lately, and none while an operation works on
 * the image or there are no more than its minimum. Pure.
 */
export function idleCopiesOf(
  { id: image, state, operation, copies, sizeBytes, minimumCopies }: ImageRecord,
  { clonesOf, isReady, nowMs, idleForMs }: CopySituation,
): readonly IdleImageCopy[] {
  const there = copies.filter((copy) => copy.state === 'ready' && isReady(copy.node));
  const spare = there.length - minimumCopies;
  if (state !== 'ready' || operation !== null || spare <= 0) return [];
  return there
    .filter((copy) => clonesOf(image, copy) === 0)
    .filter((copy) => nowMs - idleSinceMs(copy) > Math.max(idleForMs, WANTED_FOR_MS))
    .map((copy) => {
      const { node, disk } = copy;
      return { image, node, disk, sizeBytes, idleSinceMs: idleSinceMs(copy), spare };
    })
    .toSorted((a, b) => a.idleSinceMs - b.idleSinceMs);
}

/** The copies that would be left, and count, without the one on that disk. Pure. */
export const readyElsewhere = (
  { copies }: Pick<ImageRecord, 'copies'>,
  disk: string,
  isReady: (node: string) => boolean,
): readonly ImageCopyRecord[] =>
  copies.filter((copy) => copy.disk !== disk && copy.state === 'ready' && isReady(copy.node));

const idleSinceMs = ({ wantedAt, readyAt }: ImageCopyRecord): number =>
  Math.max(Date.parse(wantedAt ?? '') || 0, Date.parse(readyAt ?? '') || 0);

/** Whether a ready copy was not read for so long; 0: never. Pure. */
export function isVerificationDue(
  { state, operation, copies }: ImageRecord,
  nowMs: number,
  everyMs: number,
): boolean {
  if (everyMs === 0 || state !== 'ready' || operation !== null) return false;
  return copies.some(
    (copy) => copy.state === 'ready' && nowMs - Date.parse(copy.checkedAt ?? '') > everyMs,
  );
}

/** How many copies an image has too few; those on nodes that are down do not count. Pure. */
export function missingCopies(
  { state, operation, copies, minimumCopies }: ImageRecord,
  isDown: (node: string) => boolean,
): number {
  if (state !== 'ready' || operation !== null) return 0;
  const there = copies.filter((copy) => {
    return (copy.state === 'ready' || copy.state === 'fetching') && !isDown(copy.node);
  });
  return Math.max(0, minimumCopies - there.length);
}
