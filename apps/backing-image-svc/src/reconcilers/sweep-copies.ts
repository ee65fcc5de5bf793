import type { ImageRecord, Inventory } from '@lariat/contracts';
import { type StrayCopy, findAbsent, findStrays } from '../domain/judge-copies.js';
import { type CopyKeeperDeps, deleteOn, dropCopy, isBeingFetched, keyOf } from './copy-repairs.js';

/** A stray that could not be deleted is left for so long: replicas that stand on it go first. */
const AGAIN_AFTER_MS = 60_000;

/** Compares the copies that nodes have with those on record: what has no owner goes, what is lost is dropped. */
export class CopySweep {
  /** From when on each stray counts. */
  private readonly sinceMs = new Map<string, number>();

  /** What was said already. */
  private readonly unknown = new Set<string>();

  constructor(private readonly deps: CopyKeeperDeps) {}

  /** Looks at one inventory of a node. */
  async consider(inventory: Inventory): Promise<void> {
    const { images, counts } = this.deps;
    const { node, images: reports = [] } = inventory;
    counts.looked('image-copies', reports.length);
    const recordOf = (id: string) => images.cached(id);
    const suspected = findStrays(node, reports, recordOf, () => true);
    const strays = suspected.length === 0 ? [] : await this.confirm(node, suspected);
    this.forgetOthers(
      node,
      strays.map(({ stray }) => stray),
    );
    for (const { stray, decidedBy } of strays) await this.sweep(node, stray, decidedBy);
    for (const lost of findAbsent(node, reports, recordOf))
      await dropCopy(this.deps, node, lost, 'its node says that it is not on its disk');
  }

  /** What is deleted on old news is deleted wrongly: only what JetStream itself says counts. */
  private async confirm(
    node: string,
    suspected: readonly StrayCopy[],
  ): Promise<
    readonly { readonly stray: StrayCopy; readonly decidedBy: ImageRecord | undefined }[]
  > {
    const { images } = this.deps;
    const records = new Map<string, ImageRecord>();
    const deleted = new Set<string>();
    for (const image of new Set(suspected.map((stray) => stray.image))) {
      const record = await images.read(image);
      if (record !== undefined) records.set(image, record);
      else if (await images.deleted.has(image)) deleted.add(image);
      else this.sayUnknown(node, image);
    }
    const recordOf = (id: string) => records.get(id);
    return findStrays(node, suspected, recordOf, (id) => deleted.has(id))
      .filter((stray) => !isBeingFetched(this.deps, stray))
      .map((stray) => ({ stray, decidedBy: records.get(stray.image) }));
  }

  private sayUnknown(node: string, image: string): void {
    const key = `${node}/${image}`;
    if (this.unknown.has(key)) return;
    this.unknown.add(key);
    this.deps.log.warn(
      "a node has a copy of an image that is not on record: see 'lariat recover --dry-run'",
      { node, image },
    );
  }

  private forgetOthers(node: string, strays: readonly StrayCopy[]): void {
    const present = new Set(strays.map((stray) => keyOf(node, stray)));
    for (const key of this.sinceMs.keys())
      if (key.startsWith(`${node}/`) && !present.has(key)) this.sinceMs.delete(key);
  }

  private async sweep(
    node: string,
    stray: StrayCopy,
    decidedBy: ImageRecord | undefined,
  ): Promise<void> {
    const { clock, settings, counts, log } = this.deps;
    const key = keyOf(node, stray);
    const nowMs = clock.monotonicMs();
    const sinceMs = this.sinceMs.get(key) ?? nowMs;
    this.sinceMs.set(key, sinceMs);
    if (nowMs - sinceMs < settings.strayAfterMs) return;
    counts.repaired('image-copies');
    try {
      await deleteOn(this.deps, node, stray, decidedBy);
      this.sinceMs.delete(key);
      log.info('stray copy of an image removed', { node, ...stray });
    } catch (error) {
      this.sinceMs.set(key, nowMs + AGAIN_AFTER_MS);
      log.warn('stray copy of an image not removed', { node, ...stray, error });
    }
  }
}
