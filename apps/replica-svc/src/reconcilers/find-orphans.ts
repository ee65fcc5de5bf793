import { isDeepStrictEqual } from 'node:util';
import type { Inventory, OrphanRecord } from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import type { MarkBucket } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import type { ImageRecords } from '../adapters/image-records.js';
import type { OrphanStore } from '../adapters/orphan-store.js';
import type { VolumeView } from '../adapters/volume-view.js';
import {
  type FoundOrphan,
  findOrphans,
  hasEnded,
  holds,
  imageWith,
  namedBy,
  orphanIdOf,
  sameThing,
  wantedBy,
} from '../domain/orphans.js';

/** What has just ended may still be in an inventory that was on its way. */
const ENDED_FOR_MS = 30_000;

/** Keeps one record of each thing that a node has and nobody owns: from when it is found until it has an owner, or is gone. */
export class OrphanSearch {
  private readonly endedAtMs = new Map<string, number>();

  constructor(
    private readonly orphans: Pick<OrphanStore, 'list' | 'add' | 'update' | 'end' | 'onEnd'>,
    private readonly volumes: Pick<VolumeView, 'list' | 'cached' | 'fresh'>,
    private readonly images: Pick<ImageRecords, 'list'>,
    private readonly deleted: Pick<MarkBucket, 'has'>,
    private readonly clock: Pick<Clock, 'monotonicMs'>,
    private readonly log: Log,
  ) {
    orphans.onEnd((id) => this.endedAtMs.set(id, clock.monotonicMs()));
  }

  /** Looks at one inventory of a node. */
  async consider(inventory: Inventory): Promise<void> {
    const { node } = inventory;
    const unknown = await this.unknownVolumes(inventory);
    const found = findOrphans(
      inventory,
      (thing) => this.isWanted(thing, inventory),
      (volume) => unknown.has(volume),
    );
    const known = this.orphans.list().filter((orphan) => orphan.node === node);
    for (const orphan of known)
      if (hasEnded(orphan, found, inventory)) await this.end(orphan, inventory);
    for (const thing of found) {
      const orphan = known.find((one) => sameThing(one, thing));
      if (orphan === undefined) await this.add(thing);
      else if (!isDeepStrictEqual(orphan.beneath, thing.beneath))
        await this.orphans.update(orphan.id, thing);
    }
  }

  private isWanted(thing: FoundOrphan, { node, replicas }: Inventory): boolean {
    return (
      wantedBy(thing, node, this.volumes.list(), holds(replicas)) !== undefined ||
      imageWith(thing, node, this.images.list()) !== undefined
    );
  }

  /** Volumes that the node has a part of, and that are neither on record nor known as deleted. */
  private async unknownVolumes({ replicas }: Inventory): Promise<ReadonlySet<string>> {
    const suspected = new Set(
      replicas
        .map(({ volume }) => volume)
        .filter((volume) => this.volumes.cached(volume) === undefined),
    );
    const unknown = await Promise.all(
      Array.from(suspected, async (volume) => {
        const isKnown =
          (await this.volumes.fresh(volume)) !== undefined || (await this.deleted.has(volume));
        return isKnown ? [] : [volume];
      }),
    );
    return new Set(unknown.flat());
  }

  private async add(thing: FoundOrphan): Promise<void> {
    const { node, kind, name } = thing;
    const nowMs = this.clock.monotonicMs();
    for (const [id, atMs] of this.endedAtMs)
      if (nowMs - atMs >= ENDED_FOR_MS) this.endedAtMs.delete(id);
    if (this.endedAtMs.has(orphanIdOf(thing))) return;
    const added = await this.orphans.add(thing);
    if (added !== undefined)
      this.log.warn('a node has something without an owner', {
        orphan: added.id,
        node,
        kind,
        name,
      });
  }

  /** One that its node, or a volume's record, names now was adopted; any other is gone. */
  private async end(orphan: OrphanRecord, inventory: Inventory): Promise<void> {
    const ids = namedBy(orphan.name);
    const isHeld = inventory.replicas.some(({ replica }) => ids.includes(replica));
    const end = isHeld || this.isWanted(orphan, inventory) ? 'adopted' : 'vanished';
    const reason = end === 'adopted' ? 'it has an owner again' : 'its node has it no more';
    await this.orphans.end(orphan.id, end, reason);
    this.log.info('orphan ended', { orphan: orphan.id, node: orphan.node, end });
  }
}
