import type { Inventory } from '@lariat/contracts';
import type { ReconcileCounts } from '@lariat/kernel';
import { settleRecordCopies } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import type { VolumeStore } from '../adapters/volume-store.js';
import { findStrayVolumeCopies, staleReason } from '../domain/record-copies.js';

/** Sends the nodes the records that they have missed; a volume of which a node knows more than the store is in doubt. */
export class CopyKeeper {
  constructor(
    private readonly volumes: VolumeStore,
    private readonly log: Log,
    private readonly counts: ReconcileCounts,
  ) {}

  /** Looks at one inventory of a node. */
  async consider(inventory: Inventory): Promise<void> {
    const { volumes, counts, log } = this;
    const { node } = inventory;
    counts.looked('record-copies', inventory.replicas.length);
    const cached = (id: string) => volumes.cached(id);
    const keeping = {
      copies: volumes.copies,
      counts,
      cached,
      hasReached: volumes.hasReached.bind(volumes),
      onStoreBehind: async (volume: string) => {
        await volumes.doubt(volume, staleReason(node));
        log.error('the store is older than what a node keeps', { node, volume });
      },
    };
    await settleRecordCopies(keeping, node, findStrayVolumeCopies(inventory, cached));
  }
}
