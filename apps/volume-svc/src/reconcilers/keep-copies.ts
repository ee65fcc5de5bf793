import {
  type Inventory,
  type RecordPosition,
  type VolumeRecord,
  comparePositions,
  positionOf,
} from '@lariat/contracts';
import type { ReconcileCounts } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import type { RecordCopies } from '../adapters/record-copies.js';
import type { VolumeStore } from '../adapters/volume-store.js';
import { staleReason } from '../domain/record-copies.js';

/** A copy of a volume's record on the node of an inventory: behind the record, or ahead of it. */
export interface StrayCopy {
  readonly volume: string;
  readonly held: RecordPosition | null;
  readonly is: 'behind' | 'ahead';
}

/** The copies of a node that differ from the records, by what the inventory says. Pure. */
export function findStrayCopies(
  inventory: Pick<Inventory, 'node' | 'replicas'>,
  recordOf: (volume: string) => VolumeRecord | undefined,
): readonly StrayCopy[] {
  const strays = new Map<string, StrayCopy>();
  for (const { replica, volume, record: held = null } of inventory.replicas) {
    const record = recordOf(volume);
    if (record === undefined || record.inDoubt !== undefined || record.state === 'creating')
      continue;
    const order = held === null ? -1 : comparePositions(held, positionOf(record));
    if (order > 0) strays.set(volume, { volume, held, is: 'ahead' });
    const isListed = record.replicas.some(({ id, node }) => {
      return id === replica && node === inventory.node;
    });
    // Half way through an operation the next change is about to come.
    if (order < 0 && isListed && record.operation === null)
      strays.set(volume, { volume, held, is: 'behind' });
  }
  return [...strays.values()];
}

/** Sends the nodes the records that they have missed, and finds out when it is the store that is behind. */
export class CopyKeeper {
  constructor(
    private readonly volumes: VolumeStore,
    private readonly copies: RecordCopies,
    private readonly log: Log,
    private readonly counts: ReconcileCounts,
  ) {}

  /** Looks at one inventory of a node. */
  async consider(inventory: Inventory): Promise<void> {
    const { node } = inventory;
    this.counts.looked('record-copies', inventory.replicas.length);
    for (const { volume, held, is } of findStrayCopies(inventory, (id) =>
      this.volumes.cached(id),
    )) {
      const record = this.volumes.cached(volume);
      if (is === 'behind' && record !== undefined) {
        this.counts.repaired('record-copies');
        this.copies.sendTo(node, record);
      }
      if (is === 'behind' || held === null || (await this.volumes.hasReached(volume, held)))
        continue;
      this.counts.repaired('record-copies');
      await this.volumes.doubt(volume, staleReason(node));
      this.log.error('the store is older than what a node keeps', { node, volume });
    }
  }
}
