import { type Inventory, hasCode } from '@lariat/contracts';
import { type Clock, type ReconcileCounts, delay } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import type { Allocator } from '../adapters/allocator.js';
import type { NodeStore } from '../adapters/node-store.js';
import { compareImagePromises } from '../domain/compare-image-promises.js';
import type { ImageCopyPromise } from '../domain/promises.js';
import { standing } from './standing.js';

const LOOK_EVERY_MS = 10_000;
/** How long a difference must stand: a copy is promised a while before it is made, and gone before its promise is. */
const STANDS_FOR_MS = 30_000;

export interface KeepImagePromisesDeps {
  readonly allocator: Pick<Allocator, 'list' | 'promiseImageCopy' | 'releaseImageCopy'>;
  readonly nodes: Pick<NodeStore, 'list'>;
  /** What each node has said that it has. */
  readonly told: () => Iterable<Pick<Inventory, 'node' | 'images'>>;
  readonly client: Pick<LariatClient, 'request'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly counts: ReconcileCounts;
  readonly log: Log;
}

type OnDisk = Pick<ImageCopyPromise, 'image' | 'disk'>;

const missingKey = ({ disk, image }: OnDisk): string => `missing/${disk}/${image}`;
const unusedKey = ({ disk, image }: OnDisk): string => `unused/${disk}/${image}`;

/** Promises what copies of images take where nothing stands for it, and ends what is promised to copies that are not to be. */
export async function keepImagePromises(
  deps: KeepImagePromisesDeps,
  signal: AbortSignal,
): Promise<void> {
  const since = new Map<string, number>();
  while (!signal.aborted) {
    await compareImagePromisesOnce(deps, since).catch((error: unknown) =>
      deps.log.warn('promises to copies of images not compared', { error }),
    );
    await delay(LOOK_EVERY_MS, signal);
  }
}

/** One round. `since`, when each difference was first seen, is carried from round to round. */
export async function compareImagePromisesOnce(
  deps: KeepImagePromisesDeps,
  since: Map<string, number>,
): Promise<void> {
  const { allocator, nodes, told, clock, counts, log } = deps;
  const allocations = allocator.list();
  for (const { images = {} } of allocations) counts.looked('promises', Object.keys(images).length);
  const disks = new Set(nodes.list().flatMap((node) => node.disks.map(({ id }) => id)));
  const drift = compareImagePromises(allocations, [...told()], (disk) => disks.has(disk));
  const found = [...drift.missing.map(missingKey), ...drift.unused.map(unusedKey)];
  const due = standing(since, found, clock.monotonicMs(), STANDS_FOR_MS);
  for (const copy of drift.missing) {
    if (!due.has(missingKey(copy))) continue;
    await allocator.promiseImageCopy(copy, { isThere: true });
    counts.repaired('promises');
    log.warn('a copy of an image was promised what it has', { ...copy });
  }
  for (const copy of drift.unused) {
    if (!due.has(unusedKey(copy)) || (await isWanted(deps, copy))) continue;
    await allocator.releaseImageCopy(copy);
    counts.repaired('promises');
    log.warn('promise to a copy of an image that is not to be ended', { ...copy });
  }
}

/** Whether the image's record has a copy there, or none is known to be unwanted: no answer ends no promise (invariant 2). */
async function isWanted(
  { client }: Pick<KeepImagePromisesDeps, 'client'>,
  { image, disk }: OnDisk,
): Promise<boolean> {
  try {
    const { copies } = await client.request('internal.image.record', { image, fresh: true });
    return copies.some((copy) => copy.disk === disk);
  } catch (error) {
    return !hasCode(error, 'IMAGE_NOT_FOUND');
  }
}
