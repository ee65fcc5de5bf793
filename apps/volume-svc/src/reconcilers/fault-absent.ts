import type { Inventory, VolumeChange, VolumeRecord } from '@lariat/contracts';
import { hasCode } from '@lariat/contracts';
import type { Clock, ReconcileCounts } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import type { VolumeStore } from '../adapters/volume-store.js';

/** A replica that counts on record, and whose node says that its head is not on its disk. */
export interface AbsentReplica {
  readonly volume: string;
  readonly replica: string;
  readonly reason: string;
}

/**
 * The replicas of a node that contradict their record. Of a volume that is attached the engine's own word decides, and of
 * one with an operation that. Pure.
 */
export function findAbsent(
  { node, replicas }: Pick<Inventory, 'node' | 'replicas'>,
  recordOf: (volume: string) => VolumeRecord | undefined,
): readonly AbsentReplica[] {
  return replicas.flatMap(({ replica, volume, absent = null }) => {
    const record = absent === null ? undefined : recordOf(volume);
    if (absent === null || record === undefined || !mayFault(record, node, replica)) return [];
    return [{ volume, replica, reason: absent }];
  });
}

const mayFault = (record: VolumeRecord, node: string, replica: string): boolean =>
  record.state === 'detached' &&
  record.operation === null &&
  record.inDoubt === undefined &&
  record.replicas.some((one) => one.id === replica && one.node === node && one.mode === 'RW');

/** Takes what is positively gone out of the in-sync set, so that it is rebuilt before it is missed. */
export class AbsentReplicas {
  /** Volumes whose last replica is gone: said once. */
  private readonly said = new Set<string>();

  constructor(
    private readonly volumes: Pick<VolumeStore, 'cached' | 'change' | 'confirm'>,
    private readonly clock: Pick<Clock, 'nowMs'>,
    private readonly log: Log,
    private readonly counts: ReconcileCounts,
  ) {}

  /** Looks at one inventory of a node. */
  async consider(inventory: Inventory): Promise<void> {
    const { node } = inventory;
    this.counts.looked('replicas', inventory.replicas.length);
    for (const { volume, replica, reason } of findAbsent(inventory, (id) =>
      this.volumes.cached(id),
    )) {
      if (this.said.has(volume)) continue;
      this.counts.repaired('replicas');
      const fault: VolumeChange = {
        type: 'fault-replica',
        replica,
        reason,
        atMs: this.clock.nowMs(),
      };
      try {
        // Decided anew on the very record that is changed: an operation may have begun since.
        const after = await this.volumes.change(
          volume,
          null,
          (record) => (mayFault(record, node, replica) ? [fault] : []),
          'volume-svc',
        );
        await this.volumes.confirm(after);
        this.log.warn('a replica is not on its disk', { volume, node, replica, reason });
      } catch (error) {
        if (!hasCode(error, 'LAST_REPLICA')) throw error;
        this.said.add(volume);
        this.log.error('the last replica of a volume is not on its disk', {
          volume,
          node,
          replica,
          reason,
        });
      }
    }
  }
}
