import type { Inventory } from '@lariat/contracts';
import { settleRecordCopies } from '@lariat/messaging';
import type { ImageStore } from '../adapters/image-store.js';
import { findStrayImageRecords } from '../domain/record-copies.js';
import type { CopyKeeperDeps } from './copy-repairs.js';

/** Sends the nodes the records of images that they have missed, and tells when it is the store that is behind. */
export class RecordKeeper {
  /** What was said already. */
  private readonly said = new Set<string>();

  constructor(
    private readonly deps: Pick<CopyKeeperDeps, 'counts' | 'log'> & {
      readonly images: Pick<ImageStore, 'cached' | 'copies' | 'hasReached'>;
    },
  ) {}

  /** Looks at one inventory of a node. */
  async consider(inventory: Inventory): Promise<void> {
    const { images, counts, log } = this.deps;
    const { node } = inventory;
    counts.looked('record-copies', inventory.images?.length ?? 0);
    const cached = (id: string) => images.cached(id);
    const keeping = {
      copies: images.copies,
      counts,
      cached,
      hasReached: images.hasReached.bind(images),
      // Nothing is in danger: its nodes refuse to take copies away by an older record.
      onStoreBehind: async (image: string) => {
        if (this.said.has(`${node}/${image}`)) return;
        this.said.add(`${node}/${image}`);
        log.error("the store is older than what a node keeps: see 'lariat recover --dry-run'", {
          node,
          image,
        });
      },
    };
    await settleRecordCopies(keeping, node, findStrayImageRecords(inventory, cached));
  }
}
