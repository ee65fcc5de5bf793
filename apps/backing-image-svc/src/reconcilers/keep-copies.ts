import {
  type CommandMap,
  type ImageRecord,
  type Inventory,
  type NodeView,
  hasCode,
} from '@lariat/contracts';
import { type Clock, type ReconcileCounts, delay, deriveOperationId } from '@lariat/kernel';
import type { CommandClient, LariatClient } from '@lariat/messaging';
import type { SagaRunner, SagaStore } from '@lariat/saga';
import type { Log } from '@lariat/telemetry';
import type { ImageStore } from '../adapters/image-store.js';
import type { ImageSettings } from '../domain/import-settings.js';
import { findDisk } from '../domain/choose-disk.js';
import {
  type StrayCopy,
  findAbsent,
  findEvictable,
  findStrays,
  missingCopies,
} from '../domain/judge-copies.js';

export interface CopyKeeperDeps {
  readonly images: Pick<ImageStore, 'cached' | 'read' | 'list' | 'change' | 'deleted'>;
  readonly operations: Pick<SagaStore, 'running'>;
  readonly runner: Pick<SagaRunner, 'start'>;
  readonly client: Pick<LariatClient, 'request'>;
  readonly commands: Pick<CommandClient, 'send'>;
  readonly clock: Clock;
  readonly settings: Pick<ImageSettings, 'evictAfterMs' | 'strayAfterMs'>;
  readonly log: Log;
  readonly counts: ReconcileCounts;
}

const ACTOR = 'backing-image-svc';
const LOOK_EVERY_MS = 10_000;
const COMMAND_TIMEOUT_MS = 15_000;
/** An image that could not be spread is left for so long. */
const SPREAD_AGAIN_MS = 60_000;

/** Compares the copies that nodes have with those on record: what has no owner goes, what is lost is fetched again. */
export class CopyKeeper {
  private readonly told = new Map<string, Inventory>();
  private readonly strayFirstMs = new Map<string, number>();
  private readonly spreadAtMs = new Map<string, number>();

  constructor(private readonly deps: CopyKeeperDeps) {}

  /** Looks at one inventory of a node. */
  async consider(inventory: Inventory): Promise<void> {
    const { images, counts } = this.deps;
    const { node, images: reports = [] } = inventory;
    this.told.set(node, inventory);
    counts.looked('image-copies', reports.length);
    const recordOf = (id: string) => images.cached(id);
    const suspected = findStrays(node, reports, recordOf, () => true);
    const strays = suspected.length === 0 ? [] : await this.confirm(node, suspected);
    this.forgetOthers(node, strays);
    for (const stray of strays) await this.sweep(node, stray);
    for (const lost of findAbsent(node, reports, recordOf))
      await this.drop(node, lost, 'its node says that it is not on its disk');
  }

  /** Until the signal aborts: what no inventory tells. */
  async keep(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look().catch((error: unknown) =>
        this.deps.log.warn('copies of images not looked at', { error }),
      );
      await delay(LOOK_EVERY_MS, signal);
    }
  }

  async look(): Promise<void> {
    const { images, client } = this.deps;
    const ready = images.list().filter(({ state }) => state === 'ready');
    if (ready.length === 0) return;
    const { nodes } = await client.request('node.list', {});
    for (const record of ready) {
      try {
        await this.lookAt(record, nodes);
      } catch (error) {
        this.deps.log.warn('copies of an image not looked at', { image: record.id, error });
      }
    }
  }

  private async lookAt(record: ImageRecord, nodes: readonly NodeView[]): Promise<void> {
    const disks = new Set(nodes.flatMap((node) => node.disks.map(({ id }) => id)));
    for (const { node, disk, state } of record.copies) {
      if (!disks.has(disk) && state === 'ready')
        await this.drop(node, { image: record.id, disk }, 'its disk is not on record any more');
      if (state === 'deleting') await this.endEviction(node, { image: record.id, disk });
    }
    if (!(await this.spreadOne(record, nodes))) await this.evictOne(record);
  }

  /** What is deleted on old news is deleted wrongly: only what JetStream itself says counts. */
  private async confirm(
    node: string,
    suspected: readonly StrayCopy[],
  ): Promise<readonly StrayCopy[]> {
    const { images, operations, log } = this.deps;
    const records = new Map<string, ImageRecord>();
    const deleted = new Set<string>();
    for (const image of new Set(suspected.map((stray) => stray.image))) {
      const record = await images.read(image);
      if (record !== undefined) records.set(image, record);
      else if (await images.deleted.has(image)) deleted.add(image);
      else log.debug('a node has a copy of an image that is not on record', { node, image });
    }
    const busy = new Set(Array.from(operations.running(), ({ value }) => value.subject));
    return findStrays(
      node,
      suspected,
      (id) => records.get(id),
      (id) => deleted.has(id),
    ).filter(({ image, disk }) => !busy.has(`image-copy/${image}/${disk}`));
  }

  private forgetOthers(node: string, strays: readonly StrayCopy[]): void {
    const present = new Set(strays.map((stray) => keyOf(node, stray)));
    for (const key of this.strayFirstMs.keys())
      if (key.startsWith(`${node}/`) && !present.has(key)) this.strayFirstMs.delete(key);
  }

  private async sweep(node: string, stray: StrayCopy): Promise<void> {
    const { clock, settings, counts, log } = this.deps;
    const key = keyOf(node, stray);
    const nowMs = clock.monotonicMs();
    const sinceMs = this.strayFirstMs.get(key) ?? nowMs;
    this.strayFirstMs.set(key, sinceMs);
    if (nowMs - sinceMs < settings.strayAfterMs) return;
    counts.repaired('image-copies');
    try {
      await this.send(node, 'image.delete-copy', stray);
      this.strayFirstMs.delete(key);
      log.info('stray copy of an image removed', { node, ...stray });
    } catch (error) {
      log.warn('stray copy of an image not removed', { node, ...stray, error });
    }
  }

  private async drop(node: string, { image, disk }: StrayCopy, reason: string): Promise<void> {
    const { images, client, counts, log } = this.deps;
    counts.repaired('image-copies');
    await client.request('internal.placement.release-copy', { image, node, disk });
    await images.change(
      image,
      ({ copies }) => {
        const isThere = copies.some((copy) => copy.disk === disk && copy.state === 'ready');
        return isThere ? [{ type: 'drop-copy', disk, reason }] : [];
      },
      ACTOR,
    );
    log.warn('a copy of an image is lost', { image, node, disk, reason });
  }

  /** True when the image has too few copies, whether or not there is a place for one more. */
  private async spreadOne(record: ImageRecord, nodes: readonly NodeView[]): Promise<boolean> {
    const { runner, clock, counts, log } = this.deps;
    const stateOf = (name: string) => nodes.find((node) => node.name === name)?.state ?? 'down';
    const isDown = (name: string): boolean => stateOf(name) === 'down';
    if (missingCopies(record, isDown) === 0) return false;
    const nowMs = clock.monotonicMs();
    if (nowMs - (this.spreadAtMs.get(record.id) ?? Number.NEGATIVE_INFINITY) < SPREAD_AGAIN_MS)
      return true;
    const place = findDisk({
      nodes,
      needBytes: record.sizeBytes,
      // A second copy on a node is lost with the first.
      exceptNodes: record.copies.map(({ node }) => node),
      exceptDisks: [],
    });
    const canRead = record.copies.some(
      ({ node, state }) => state === 'ready' && stateOf(node) === 'ready',
    );
    if (place === undefined || !canRead) return true;
    this.spreadAtMs.set(record.id, nowMs);
    counts.repaired('image-copies');
    const input = { image: record.id, ...place };
    await runner.start({ kind: 'image.spread', input, actor: ACTOR, requestId: undefined });
    log.info('an image has too few copies', { image: record.id, ...place });
    return true;
  }

  private async evictOne(record: ImageRecord): Promise<void> {
    const { images, clock, settings } = this.deps;
    const clonesOf = ({ node, disk }: { readonly node: string; readonly disk: string }) =>
      this.told.get(node)?.images?.find((one) => one.image === record.id && one.disk === disk)
        ?.clones ?? null;
    const find = (current: ImageRecord) =>
      findEvictable(current, clonesOf, clock.nowMs(), settings.evictAfterMs);
    const found = find(record);
    if (found === undefined) return;
    // Decided anew on the record that is changed: a volume may have asked for it since.
    const changed = await images.change(
      record.id,
      (current) => {
        const copy = find(current);
        return copy?.disk === found.disk
          ? [{ type: 'put-copy', copy: { ...copy, state: 'deleting' } }]
          : [];
      },
      ACTOR,
    );
    const isMarked = changed.copies.some(({ disk, state }) => {
      return disk === found.disk && state === 'deleting';
    });
    if (isMarked) await this.endEviction(found.node, { image: record.id, disk: found.disk });
  }

  /** Also of one that was begun by an instance that died. */
  private async endEviction(node: string, { image, disk }: StrayCopy): Promise<void> {
    const { images, client, counts, log } = this.deps;
    counts.repaired('image-copies');
    try {
      await this.send(node, 'image.delete-copy', { image, disk });
    } catch (error) {
      if (!hasCode(error, 'IMAGE_COPY_IN_USE')) throw error;
      await images.change(
        image,
        ({ copies }) =>
          copies
            .filter((copy) => copy.disk === disk && copy.state === 'deleting')
            .map((copy) => ({ type: 'put-copy', copy: { ...copy, state: 'ready' } })),
        ACTOR,
      );
      return;
    }
    await client.request('internal.placement.release-copy', { image, node, disk });
    await images.change(
      image,
      [{ type: 'drop-copy', disk, reason: 'nobody has used it for long' }],
      ACTOR,
    );
    log.info('an unused copy of an image was given up', { image, node, disk });
  }

  private async send(
    node: string,
    command: 'image.delete-copy',
    { image, disk }: CommandMap['image.delete-copy']['input'],
  ): Promise<void> {
    const { commands, clock } = this.deps;
    const wallMs = clock.nowMs();
    const key = keyOf(node, { image, disk });
    await commands.send(node, {
      ...{ id: `sweep/${key}/${wallMs}`, command, operation: deriveOperationId('sweep', key) },
      ...{ step: 'sweep', fence: 1, deadlineAtMs: wallMs + COMMAND_TIMEOUT_MS },
      input: { image, disk },
    });
  }
}

const keyOf = (node: string, { image, disk }: StrayCopy): string => `${node}/${image}/${disk}`;
