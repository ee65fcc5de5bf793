import { type VolumeRecord, hasCode } from '@lariat/contracts';
import { FETCH_IMAGE_RETRY, FETCH_IMAGE_TIMEOUT_MS, tryFetchImage } from '@lariat/saga';
import type { ImageToStandOn } from '../domain/place.js';
import { findVolume } from './find-volume.js';
import { nextPieceLimit } from './rebuild-control.js';
import {
  type RebuildContext,
  type RebuildDeps,
  type RebuildStep,
  remembered,
} from './rebuild-memory.js';

/**
 * Has the image of the volume on the target's disk, so that only what the volume wrote is copied. After the join: new
 * writes have their redundancy by then, however long it takes. An image that can't be had, having gone for good say, costs
 * the rebuild nothing but more to copy.
 */
export function fetchImageStep(deps: RebuildDeps): RebuildStep {
  return {
    name: 'fetch-image',
    waitsFor: (_input, memory) =>
      `the image of the volume, if it has one, to be on ${memory.target?.node ?? '?'}`,
    timeoutMs: FETCH_IMAGE_TIMEOUT_MS,
    retry: FETCH_IMAGE_RETRY,
    run: async (context) => {
      const record = await findVolume(deps, context.input.volume);
      const { image = null } = record;
      if (image === null || !copiesRoots(context, record)) return { image: null };
      // Not while rebuilds are paused: what is fetched then may be given up again before it is used.
      await nextPieceLimit(deps, context);
      return { image: (await isFetched(context, image)) ? image : null };
    },
  };
}

/** Whether something is copied that no other snapshot is beneath: that is what stands on the image. */
function copiesRoots({ memory }: RebuildContext, { snapshots }: VolumeRecord): boolean {
  const { copied = [], plan } = memory;
  const there = new Set([...copied, ...(plan?.keep ?? [])]);
  return snapshots.some(
    ({ id, parent }) => parent === null && !there.has(id) && id !== plan?.patch,
  );
}

async function isFetched(context: RebuildContext, image: string): Promise<boolean> {
  const { node, disk } = remembered(context.memory.target, 'target');
  const disks = [{ node, disk }];
  return (
    (await tryFetchImage(context, { image, disks, volume: context.input.volume })) === undefined
  );
}

/**
 * Copies what stands on the image. Without it where the source does not stand on it, having been copied whole itself, and
 * where the target's copy was given up meanwhile; then for all that is left, also when the step is run again: what was
 * copied without is of no use to one with.
 */
export async function copyOnImage<T>(
  context: RebuildContext,
  image: string | null,
  copy: (image: string | null) => Promise<T>,
): Promise<{ readonly copied: T; readonly image: string | null }> {
  if (image !== null) {
    try {
      return { copied: await copy(image), image };
    } catch (error) {
      if (!hasCode(error, 'IMAGE_NOT_BENEATH', 'IMAGE_COPY_NOT_FOUND', 'IMAGE_COPY_NOT_SEALED'))
        throw error;
      const { operation, input, log } = context;
      log.warn('a replica is copied whole', { operation, volume: input.volume, image, error });
    }
    await context.checkpoint({ image: null });
  }
  return { copied: await copy(null), image: null };
}

/** What placement is to know of the image; not known is no reason to wait, and no room is asked for what is done without. */
export async function imageToStandOn(
  deps: RebuildDeps,
  { client, input, log, operation }: RebuildContext,
): Promise<ImageToStandOn | undefined> {
  const image = (await findVolume(deps, input.volume)).image ?? null;
  if (image === null) return undefined;
  try {
    const { copies } = await client.request('internal.image.record', { image });
    const there = copies.filter(({ state }) => state === 'ready' || state === 'fetching');
    return { id: image, disks: there.map(({ disk }) => disk), copyBytes: 0 };
  } catch (error) {
    log.info('copies of the image not known', { operation, image, error });
    return undefined;
  }
}
