import type { Inventory, VolumeRecord } from '@lariat/contracts';
import { type Clock, type ReconcileCounts, deriveOperationId } from '@lariat/kernel';
import type { CommandClient } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import type { VolumeView } from '../adapters/volume-view.js';
import { holds, wantedBy } from '../domain/orphans.js';

const COMMAND_TIMEOUT_MS = 15_000;
/** A replica that its node can't take up is asked for again after this. */
const RETRY_MS = 30_000;

export interface LostReplica {
  readonly replica: string;
  readonly volume: string;
  readonly disk: string;
}

/**
 * Replicas on record whose head is on the node's disk, and in none of its own records, since it was installed anew. One that is
 * being made, or changed by an operation, is that operation's, and of a volume in doubt a recovery decides. Pure.
 */
export function findLost(
  { node, unowned, replicas }: Pick<Inventory, 'node' | 'unowned' | 'replicas'>,
  volumes: readonly VolumeRecord[],
): readonly LostReplica[] {
  const isHeld = holds(replicas);
  return (unowned?.things ?? []).flatMap((thing) => {
    const { kind, name, disk } = thing;
    if (kind !== 'lvol' || disk === null) return [];
    const volume = wantedBy(thing, node, volumes, isHeld);
    if (volume === undefined || volume.operation !== null || volume.inDoubt !== undefined)
      return [];
    const replica = volume.replicas.find(({ id }) => name === `${disk}/${id}`);
    const isWhole = replica?.mode === 'RW' || replica?.mode === 'ERR';
    if (replica?.disk !== disk || !isWhole) return [];
    return [{ replica: replica.id, volume: volume.id, disk }];
  });
}

/** Has nodes that were installed anew take up the replicas that they still have. */
export class ReplicaAdoption {
  private readonly askedAtMs = new Map<string, number>();

  constructor(
    private readonly commands: Pick<CommandClient, 'send'>,
    private readonly volumes: Pick<VolumeView, 'list' | 'fresh'>,
    private readonly clock: Clock,
    private readonly log: Log,
    private readonly counts: ReconcileCounts,
  ) {}

  /** Looks at one inventory of a node. */
  async consider(inventory: Inventory): Promise<void> {
    const { node } = inventory;
    const nowMs = this.clock.monotonicMs();
    for (const [key, atMs] of this.askedAtMs)
      if (nowMs - atMs >= RETRY_MS) this.askedAtMs.delete(key);
    const due = findLost(inventory, this.volumes.list()).filter(
      ({ replica }) => !this.askedAtMs.has(`${node}/${replica}`),
    );
    await Promise.all(due.map((lost) => this.adopt(inventory, lost)));
  }

  private async adopt(inventory: Inventory, { replica, volume }: LostReplica): Promise<void> {
    const { node } = inventory;
    const key = `${node}/${replica}`;
    this.askedAtMs.set(key, this.clock.monotonicMs());
    // By the record as it is stored now, not as it was heard of last.
    const record = await this.volumes.fresh(volume);
    const lost = findLost(inventory, record === undefined ? [] : [record]).find(
      (one) => one.replica === replica,
    );
    if (lost === undefined) return;
    this.counts.repaired('orphans');
    const wallMs = this.clock.nowMs();
    try {
      await this.commands.send(node, {
        ...{ id: `adopt/${key}/${wallMs}`, command: 'replica.adopt', step: 'adopt', fence: 1 },
        operation: deriveOperationId('adopt', key),
        ...{ deadlineAtMs: wallMs + COMMAND_TIMEOUT_MS, input: lost },
      });
      this.log.info('replica taken up by its node again', { node, replica, volume });
    } catch (error) {
      this.log.warn('replica not taken up', { node, replica, volume, error });
    }
  }
}
