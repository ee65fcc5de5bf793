import type { AllocationRecord, ImageCopyReport, Inventory } from '@lariat/contracts';
import type { ImageCopyPromise } from './promises.js';

export interface ImagePromiseDrift {
  /** Copies that nodes have, for which their disk promises nothing, or too little. */
  readonly missing: readonly ImageCopyPromise[];
  /** Promises for copies that their node has said it does not have: of ones that are to be made, or are gone. */
  readonly unused: readonly Pick<ImageCopyPromise, 'image' | 'node' | 'disk'>[];
}

/** What is promised to copies of images compared with what the nodes say that they have. Pure. */
export function compareImagePromises(
  allocations: readonly AllocationRecord[],
  inventories: readonly Pick<Inventory, 'node' | 'images'>[],
  hasDisk: (disk: string) => boolean,
): ImagePromiseDrift {
  const promised = new Map(allocations.map(({ disk, images = {} }) => [disk, images]));
  const missing = inventories.flatMap(({ node, images = [] }) =>
    images
      // One that is gone from its disk takes nothing there.
      .filter(({ disk, presence }) => hasDisk(disk) && presence !== 'absent')
      .filter(({ disk, image, sizeBytes }) => (promised.get(disk)?.[image] ?? 0) < sizeBytes)
      .map(({ image, disk, sizeBytes }) => ({ image, node, disk, sizeBytes })),
  );
  const told = new Map(inventories.map(({ node, images }) => [node, images]));
  const unused = allocations.flatMap(({ node, disk, images = {} }) => {
    const there = told.get(node);
    // A node that has said nothing of images may have any.
    if (there === undefined) return [];
    const has = (image: string): boolean =>
      there.some((copy: ImageCopyReport) => copy.image === image && copy.disk === disk);
    return Object.keys(images).flatMap((image) => (has(image) ? [] : { image, node, disk }));
  });
  return { missing, unused };
}
