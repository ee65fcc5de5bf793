import {
  type ImageRecord,
  type Inventory,
  type KeepingRules,
  type StrayRecordCopy,
  findStrayCopies,
} from '@lariat/contracts';

const nodesOf = (copies: ImageRecord['copies']): readonly string[] => [
  ...new Set(copies.map(({ node }) => node)),
];

/** The record of an image belongs beside its sealed copies; while it is imported there is none to keep. */
export const IMAGE_COPIES: KeepingRules<'image'> = {
  kind: 'image',
  keepersOf: ({ copies }) => nodesOf(copies.filter(({ state }) => state !== 'fetching')),
  witnessesOf: ({ copies }) => nodesOf(copies.filter(({ state }) => state === 'ready')),
  joiningOf: () => [],
  witness: 'a ready copy',
};

const isKept = ({ state }: ImageRecord): boolean => state === 'ready' || state === 'deleting';

/** Whether nodes are to keep the change: not who works on the image, nor when a copy was asked for last. */
export function isWorthKeeping(before: ImageRecord, after: ImageRecord): boolean {
  return isKept(after) && textOf(before) !== textOf(after);
}

const textOf = (record: ImageRecord): string =>
  JSON.stringify({
    ...record,
    operation: null,
    copies: record.copies.map((copy) => ({ ...copy, wantedAt: null })),
  });

/** The copies of records of a node that differ from the store, by what the inventory says. Pure. */
export const findStrayImageRecords = (
  { node, images = [] }: Pick<Inventory, 'node' | 'images'>,
  recordOf: (image: string) => ImageRecord | undefined,
): readonly StrayRecordCopy[] =>
  findStrayCopies(
    images
      .filter(({ state }) => state === 'sealed')
      .map(({ image, disk, record: held = null }) => {
        const record = recordOf(image);
        if (record === undefined || !isKept(record)) return { id: image, held, with: undefined };
        const isListed = record.copies.some((copy) => {
          return copy.disk === disk && copy.node === node && copy.state !== 'fetching';
        });
        const isSettled = isListed && record.operation === null;
        return { id: image, held, with: { record, isSettled } };
      }),
  );
