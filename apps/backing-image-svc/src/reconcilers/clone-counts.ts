import type { ImageCopyRecord, Inventory } from '@lariat/contracts';

/** How many replicas stand on each copy of an image, by the last words of the nodes. */
export class CloneCounts {
  private readonly told = new Map<string, Inventory>();

  hear(inventory: Inventory): void {
    this.told.set(inventory.node, inventory);
  }

  /** Null: nobody knows. */
  of(image: string, { node, disk }: Pick<ImageCopyRecord, 'node' | 'disk'>): number | null {
    const told = this.told.get(node)?.images;
    return told?.find((one) => one.image === image && one.disk === disk)?.clones ?? null;
  }
}
