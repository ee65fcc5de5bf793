import {
  MAX_UNOWNED_TOLD,
  type UnownedKind,
  type UnownedSight,
  type UnownedThing,
} from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, type Clock, type ReconcileCounts } from '@lariat/kernel';
import { OWNED_KIND_OF, type Unowned, findUnowned } from '../domain/find-unowned.js';
import { namespaceBdev } from '../domain/names.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import { readTarget } from './target-content.js';
import { isAbsent } from './target-errors.js';

/** From look to look: all of the target is listed each time, and what is found waits for a day as a rule. */
export const ORPHAN_WATCH_MS = 3_000;
/** Something new falls between two looks, and is believed at the second after it. */
export const ORPHAN_SEEN_WITHIN_MS = 2 * ORPHAN_WATCH_MS;

export interface OrphanWatchParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly clock: Clock;
  readonly counts: ReconcileCounts;
}

type Size = Pick<UnownedThing, 'sizeBytes' | 'allocatedBytes' | 'beneath'>;

/**
 * Tells what the target has that no ownership record names, and takes none of it away. Records are written before their
 * things are made, and go after them, so that a single look may fall between the two: what counts is what two looks in a
 * row have seen.
 */
export class OrphanWatch {
  /** Of the look before, by what it is: since when it was seen. Undefined: it failed, or there was none. */
  private seen: ReadonlyMap<string, string> | undefined;
  private told: UnownedSight | undefined;
  private looking = false;

  constructor(private readonly parts: OrphanWatchParts) {}

  /** Undefined while the target has not been looked at twice since it last failed to answer. */
  get sight(): UnownedSight | undefined {
    if (this.told === undefined) return undefined;
    // Told with the records as they are now: what was taken up since the look has an owner.
    const things = this.told.things.filter(({ kind, name }) => !this.isOwned(kind, name));
    return { ...this.told, things };
  }

  private isOwned(kind: UnownedKind, name: string): boolean {
    return this.parts.journal.owned(OWNED_KIND_OF[kind], name) !== undefined;
  }

  async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    try {
      await this.lookOnce();
    } catch (reason) {
      // What is there is unknown, not absent (invariant 2).
      this.seen = undefined;
      this.told = undefined;
      throw reason;
    } finally {
      this.looking = false;
    }
  }

  private async lookOnce(): Promise<void> {
    const { journal, target, clock, counts } = this.parts;
    const content = await readTarget(target);
    for (const list of Object.values(content)) counts.looked('orphans', list.length);
    const found = findUnowned(content, (kind, name) => journal.owned(kind, name) !== undefined);
    const now = new Date(clock.nowMs()).toISOString();
    const before = this.seen;
    const seen = new Map(found.map((thing) => [keyOf(thing), before?.get(keyOf(thing)) ?? now]));
    this.seen = seen;
    // Of what has only just been seen nothing is known, nor of what a look that failed has missed.
    if (before === undefined) return;
    const standing = found.filter((thing) => before.has(keyOf(thing)));
    const told = standing.slice(0, MAX_UNOWNED_TOLD);
    this.told = {
      things: await Promise.all(
        told.map((thing) => this.describe(thing, seen.get(keyOf(thing)) ?? now)),
      ),
      omitted: standing.length - told.length,
      disks: content.stores.map(({ name }) => name).filter((name) => journal.owned('disk', name)),
    };
  }

  private async describe(thing: Unowned, since: string): Promise<UnownedThing> {
    const { kind, name } = thing;
    if (kind === 'store') return { ...thing, ...(await this.sizeOfStore(name)), since };
    if (kind === 'controller') {
      const seen = await this.see(namespaceBdev(name));
      return { ...thing, uuid: seen?.uuid ?? null, ...sizeOf(seen), since };
    }
    const bdev = kind === 'subsystem' ? thing.uuid : (thing.uuid ?? name);
    return { ...thing, ...sizeOf(bdev === null ? undefined : await this.see(bdev)), since };
  }

  private async sizeOfStore(name: string): Promise<Size> {
    const stores = await this.parts.target.spdk().lvol.getLvstores();
    const store = stores.find((one) => one.name === name);
    if (store === undefined) return NOTHING;
    const { totalDataClusters, freeClusters, clusterSizeBytes } = store;
    return {
      sizeBytes: totalDataClusters * clusterSizeBytes,
      allocatedBytes: (totalDataClusters - freeClusters) * clusterSizeBytes,
      beneath: [],
    };
  }

  /** Undefined: it shows no bdev, as a clone does whose external parent is missing. */
  private async see(bdev: string): Promise<SeenBdev | undefined> {
    try {
      return await this.parts.target.spdk().bdev.getBdev(bdev);
    } catch (reason) {
      if (isAbsent(reason)) return undefined;
      throw reason;
    }
  }
}

interface SeenBdev {
  readonly uuid: string;
  readonly sizeBytes: number;
  readonly lvol?: {
    readonly allocatedClusters?: number;
    readonly clones?: readonly string[];
  };
}

const NOTHING: Size = { sizeBytes: 0, allocatedBytes: 0, beneath: [] };

function sizeOf(seen: SeenBdev | undefined): Size {
  if (seen === undefined) return NOTHING;
  const allocatedBytes = (seen.lvol?.allocatedClusters ?? 0) * CLUSTER_SIZE_BYTES;
  return { sizeBytes: seen.sizeBytes, allocatedBytes, beneath: seen.lvol?.clones ?? [] };
}

/** The same name with another uuid is another thing. */
const keyOf = ({ kind, name, uuid }: Unowned): string => `${kind}/${name}/${uuid ?? ''}`;
