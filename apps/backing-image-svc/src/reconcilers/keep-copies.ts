import type { ImageCopyRecord, ImageRecord, NodeView } from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import { findDisk } from '../domain/choose-disk.js';
import { type StrayCopy, isVerificationDue, missingCopies } from '../domain/judge-copies.js';
import { copiesToRelieve, withoutLeaving } from '../domain/relieve-disks.js';
import {
  ACTOR,
  type CopyKeeperDeps,
  dropCopy,
  giveUpCopy,
  isBeingFetched,
  keyOf,
} from './copy-repairs.js';
import type { CloneCounts } from './clone-counts.js';
import type { CopyEviction } from './evict-copies.js';

const LOOK_EVERY_MS = 10_000;
/** A disk to which an image could not be spread is left for so long. */
const SPREAD_AGAIN_MS = 60_000;
/** One of whose copies some could not be read is read again after that. */
const VERIFY_AGAIN_MS = 3_600_000;
/** Longer than an operation that has died is left alone. */
const FORGOTTEN_MS = 60_000;

/** Sees to it that each image has as many copies as it should, and no idle ones beyond, and that they are read at times. */
export class CopyKeeper {
  private readonly spreadAtMs = new Map<string, StrayCopy & { readonly atMs: number }>();
  private readonly verifiedAtMs = new Map<string, number>();
  private readonly forgottenSinceMs = new Map<string, number>();

  constructor(
    private readonly deps: CopyKeeperDeps,
    private readonly clones: Pick<CloneCounts, 'of'>,
    private readonly eviction: CopyEviction,
  ) {}

  /** Until the signal aborts. */
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
    await this.evict();
  }

  private async lookAt(record: ImageRecord, nodes: readonly NodeView[]): Promise<void> {
    const disks = new Set(nodes.flatMap((node) => node.disks.map(({ id }) => id)));
    for (const copy of record.copies) {
      const { node, disk, state } = copy;
      const stray = { image: record.id, disk };
      if (!disks.has(disk) && state === 'ready')
        await dropCopy(this.deps, node, stray, 'its disk is not on record any more');
      if (state === 'deleting')
        await giveUpCopy(this.deps, record, copy, 'nobody has used it for long');
      if (this.isWrongAndFree(record, copy))
        await giveUpCopy(this.deps, record, copy, 'it was not the image');
      if (state === 'fetching') await this.dropForgotten(node, stray);
    }
    this.verifyWhenDue(record);
    await this.spread(record, nodes);
  }

  /** Found to be wrong while something stood on it, which has gone. */
  private isWrongAndFree({ id, copies }: ImageRecord, copy: ImageCopyRecord): boolean {
    if (copy.state !== 'corrupt' || !copies.some(({ state }) => state === 'ready')) return false;
    return this.clones.of(id, copy) === 0;
  }

  /** Of an operation that could neither go on nor be undone, and that nobody runs any more. */
  private async dropForgotten(node: string, copy: StrayCopy): Promise<void> {
    const key = keyOf(node, copy);
    const nowMs = this.deps.clock.monotonicMs();
    const sinceMs = this.forgottenSinceMs.get(key) ?? nowMs;
    const isRun = isBeingFetched(this.deps, copy);
    if (isRun) this.forgottenSinceMs.delete(key);
    else this.forgottenSinceMs.set(key, sinceMs);
    if (isRun || nowMs - sinceMs < FORGOTTEN_MS) return;
    this.forgottenSinceMs.delete(key);
    await dropCopy(this.deps, node, copy, 'nobody fetches it any more', 'fetching');
  }

  /** Begun and not waited for: it reads every copy, slowly. */
  private verifyWhenDue(record: ImageRecord): void {
    const { runner, clock, settings, log, operations } = this.deps;
    const { verifyEveryMs, verifyMibPerSecond } = settings;
    const nowMs = clock.nowMs();
    const againAtMs = (this.verifiedAtMs.get(record.id) ?? 0) + VERIFY_AGAIN_MS;
    if (nowMs < againAtMs || !isVerificationDue(record, nowMs, verifyEveryMs)) return;
    // One at a time: what users read and write comes first.
    if (Array.from(operations.running()).some(({ value }) => value.kind === 'image.verify')) return;
    this.verifiedAtMs.set(record.id, nowMs);
    const input = { image: record.id, mibPerSecond: verifyMibPerSecond };
    runner
      .start({ kind: 'image.verify', input, actor: ACTOR, requestId: undefined })
      .catch((error: unknown) => log.warn('an image is not verified', { image: record.id, error }));
  }

  /** All that are missing at once: they are read from the copies that are there. */
  private async spread(record: ImageRecord, nodes: readonly NodeView[]): Promise<void> {
    const { runner, clock, counts, log } = this.deps;
    const stateOf = (name: string) => nodes.find((node) => node.name === name)?.state ?? 'down';
    const missing = missingCopies(record, (name) => stateOf(name) === 'down');
    const canRead = record.copies.some(
      ({ node, state }) => state === 'ready' && stateOf(node) === 'ready',
    );
    if (missing === 0 || !canRead) return;
    // A second copy on a node is lost with the first.
    const exceptNodes = record.copies.map(({ node }) => node);
    for (let left = missing; left > 0; left -= 1) {
      const exceptDisks = this.triedLately(record.id);
      const choice = { nodes, needBytes: record.sizeBytes, exceptNodes, exceptDisks };
      const place = findDisk(choice) ?? findDisk({ ...choice, idle: await this.eviction.idle() });
      if (place === undefined) return;
      const input = { image: record.id, ...place };
      this.spreadAtMs.set(keyOf(place.node, input), { ...input, atMs: clock.monotonicMs() });
      exceptNodes.push(place.node);
      counts.repaired('image-copies');
      await runner.start({ kind: 'image.spread', input, actor: ACTOR, requestId: undefined });
      log.info('an image has too few copies', input);
    }
  }

  /** Disks that may have refused a copy of the image. */
  private triedLately(image: string): readonly string[] {
    const nowMs = this.deps.clock.monotonicMs();
    for (const [key, { atMs }] of this.spreadAtMs)
      if (nowMs - atMs >= SPREAD_AGAIN_MS) this.spreadAtMs.delete(key);
    return [...this.spreadAtMs.values()].flatMap((one) => (one.image === image ? one.disk : []));
  }

  /** What is idle on disks that have little room left goes, and what nobody has used for long. */
  private async evict(): Promise<void> {
    const { eviction } = this;
    const { images, client, clock, settings } = this.deps;
    const { evictAfterMs, leastFreePercent } = settings;
    const idle = await eviction.idle();
    // Asked anew: the looks before may have taken copies away.
    const { nodes } = await client.request('node.list', {});
    const disks = nodes.flatMap((node) => node.disks).map(withoutLeaving(images.list()));
    const pressed = leastFreePercent === 0 ? [] : copiesToRelieve(disks, idle, leastFreePercent);
    await eviction.evict(pressed, 'its disk has little room left');
    const nowMs = clock.nowMs();
    const old = idle
      .filter((copy) => nowMs - copy.idleSinceMs > evictAfterMs && !pressed.includes(copy))
      // One of each image at a time.
      .filter(({ image }, at, all) => all.findIndex((copy) => copy.image === image) === at);
    await eviction.evict(old, 'nobody has used it for long', evictAfterMs);
  }
}
