import type { IdleImageCopy } from '@lariat/contracts';
import { type CopySituation, WANTED_FOR_MS, idleCopiesOf } from '../domain/judge-copies.js';
import type { CloneCounts } from './clone-counts.js';
import { ACTOR, type CopyKeeperDeps, giveUpCopy } from './copy-repairs.js';

export type EvictionDeps = Pick<
  CopyKeeperDeps,
  'images' | 'client' | 'commands' | 'clock' | 'counts' | 'log'
>;

type CopyOnDisk = Pick<IdleImageCopy, 'image' | 'node' | 'disk'>;

/** Knows which copies may go, and lets them go: whether one may is decided on the very record that is changed. */
export class CopyEviction {
  constructor(
    private readonly deps: EvictionDeps,
    private readonly clones: Pick<CloneCounts, 'of'>,
  ) {}

  /** The copies that may go, of all images. */
  async idle(): Promise<readonly IdleImageCopy[]> {
    const situation = await this.situation(WANTED_FOR_MS);
    return this.deps.images.list().flatMap((record) => idleCopiesOf(record, situation));
  }

  /** Answers how many have gone: one that is in use, wanted, or needed for the minimum by now stays. */
  async evict(
    copies: readonly CopyOnDisk[],
    reason: string,
    idleForMs = WANTED_FOR_MS,
  ): Promise<number> {
    if (copies.length === 0) return 0;
    const situation = await this.situation(idleForMs);
    const gone = await Promise.all(
      copies.map(({ image, node, disk }) =>
        this.evictOne({ image, node, disk }, situation, reason).catch((error: unknown) => {
          this.deps.log.warn('a copy of an image was not evicted', { image, node, disk, error });
          return false;
        }),
      ),
    );
    return gone.filter(Boolean).length;
  }

  private async evictOne(
    { image, node, disk }: CopyOnDisk,
    situation: CopySituation,
    reason: string,
  ): Promise<boolean> {
    const { images } = this.deps;
    let isMarked = false;
    const marked = await images.change(
      image,
      (current) => {
        const isIdle = idleCopiesOf(current, situation).some((copy) => copy.disk === disk);
        const found = current.copies.filter((copy) => isIdle && copy.disk === disk);
        isMarked = found.length > 0;
        return found.map((copy) => ({ type: 'put-copy', copy: { ...copy, state: 'deleting' } }));
      },
      ACTOR,
    );
    return isMarked && giveUpCopy(this.deps, marked, { node, disk }, reason);
  }

  private async situation(idleForMs: number): Promise<CopySituation> {
    const { client, clock } = this.deps;
    const { nodes } = await client.request('node.list', {});
    const ready = new Set(nodes.flatMap(({ name, state }) => (state === 'ready' ? name : [])));
    return {
      clonesOf: (image, copy) => this.clones.of(image, copy),
      isReady: (node) => ready.has(node),
      nowMs: clock.nowMs(),
      idleForMs,
    };
  }
}
