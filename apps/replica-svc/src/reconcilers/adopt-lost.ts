import type { CommandMap, ImageRecord, Inventory, VolumeRecord } from '@lariat/contracts';
import { type Clock, type ReconcileCounts, deriveOperationId } from '@lariat/kernel';
import type { CommandClient } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import type { ImageRecords } from '../adapters/image-records.js';
import type { VolumeView } from '../adapters/volume-view.js';
import { holds, imageWith, wantedBy } from '../domain/orphans.js';

const COMMAND_TIMEOUT_MS = 15_000;
/** What its node can't take up is asked for again after this. */
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

export interface LostCopy {
  readonly image: string;
  readonly disk: string;
  readonly lvolUuid: string;
}

/** Copies of images that are on a node's disk, as their records say, and in none of its own records. Pure. */
export function findLostCopies(
  { node, unowned }: Pick<Inventory, 'node' | 'unowned'>,
  images: readonly ImageRecord[],
): readonly LostCopy[] {
  return (unowned?.things ?? []).flatMap((thing) => {
    const image = imageWith(thing, node, images);
    if (image?.state !== 'ready' || thing.disk === null || thing.uuid === null) return [];
    return [{ image: image.id, disk: thing.disk, lvolUuid: thing.uuid }];
  });
}

/** Has nodes that were installed anew take up the replicas, and copies of images, that they still have. */
export class Adoption {
  private readonly askedAtMs = new Map<string, number>();

  constructor(
    private readonly commands: Pick<CommandClient, 'send'>,
    private readonly volumes: Pick<VolumeView, 'list' | 'fresh'>,
    private readonly images: Pick<ImageRecords, 'list' | 'fresh'>,
    private readonly clock: Clock,
    private readonly log: Log,
    private readonly counts: ReconcileCounts,
  ) {}

  /** Looks at one inventory of a node. */
  async consider(inventory: Inventory): Promise<void> {
    const nowMs = this.clock.monotonicMs();
    for (const [key, atMs] of this.askedAtMs)
      if (nowMs - atMs >= RETRY_MS) this.askedAtMs.delete(key);
    await Promise.all([
      ...findLost(inventory, this.volumes.list()).map((lost) => this.takeUp(inventory, lost)),
      ...findLostCopies(inventory, this.images.list()).map((lost) =>
        this.takeUpCopy(inventory, lost),
      ),
    ]);
  }

  private async takeUp(inventory: Inventory, { replica, volume }: LostReplica): Promise<void> {
    if (!this.isDue(inventory.node, replica)) return;
    // By the record as it is stored now, not as it was heard of last.
    const record = await this.volumes.fresh(volume);
    const lost = findLost(inventory, record === undefined ? [] : [record]).find(
      (one) => one.replica === replica,
    );
    if (lost !== undefined) await this.send(inventory.node, replica, 'replica.adopt', lost);
  }

  private async takeUpCopy(inventory: Inventory, { image, disk }: LostCopy): Promise<void> {
    const key = `${image}/${disk}`;
    if (!this.isDue(inventory.node, key)) return;
    const record = await this.images.fresh(image);
    const lost = findLostCopies(inventory, record === undefined ? [] : [record]).find(
      (one) => one.disk === disk,
    );
    if (lost !== undefined) await this.send(inventory.node, key, 'image.adopt-copy', lost);
  }

  private isDue(node: string, what: string): boolean {
    const key = `${node}/${what}`;
    if (this.askedAtMs.has(key)) return false;
    this.askedAtMs.set(key, this.clock.monotonicMs());
    return true;
  }

  private async send<Name extends 'replica.adopt' | 'image.adopt-copy'>(
    node: string,
    what: string,
    command: Name,
    input: CommandMap[Name]['input'],
  ): Promise<void> {
    this.counts.repaired('orphans');
    const wallMs = this.clock.nowMs();
    const key = `${node}/${what}`;
    try {
      await this.commands.send<Name>(node, {
        ...{ id: `adopt/${key}/${wallMs}`, command, step: 'adopt', fence: 1 },
        operation: deriveOperationId('adopt', key),
        ...{ deadlineAtMs: wallMs + COMMAND_TIMEOUT_MS, input },
      });
      this.log.info('taken up by its node again', { node, what });
    } catch (error) {
      this.log.warn('not taken up', { node, what, error });
    }
  }
}
