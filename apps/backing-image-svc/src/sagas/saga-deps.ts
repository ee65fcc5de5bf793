import type { ImageCopyRecord, ImageRecord } from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import { type NodeAccess, type StepContext, cleanUp, followProgress } from '@lariat/saga';
import type { ImageStore } from '../adapters/image-store.js';
import type { ImageChange } from '../domain/apply-change.js';
import type { Importer } from '../ports/importer.port.js';

export interface ImageSagaDeps {
  readonly images: ImageStore;
  readonly importer: Importer;
  readonly clock: Clock;
  /** Aborted when the service ends: an import that runs is left to another instance, which begins it anew. */
  readonly stopping: AbortSignal;
  /** How many copies are being read from each disk by this instance. */
  readonly readers: Map<string, number>;
}

export const RECORD_TIMEOUT_MS = 10_000;
/** To read a whole copy of the largest image from a slow disk. */
export const READ_TIMEOUT_MS = 6 * 3_600_000;

export const newCopy = (node: string, disk: string): ImageCopyRecord => ({
  ...{ node, disk, state: 'fetching', lvolUuid: null },
  ...{ readyAt: null, checkedAt: null, wantedAt: null },
});

export const readyCopy = (
  { node, disk }: { readonly node: string; readonly disk: string },
  lvolUuid: string,
  at: string,
): ImageCopyRecord => ({
  ...newCopy(node, disk),
  ...{ state: 'ready', lvolUuid, readyAt: at, checkedAt: at, wantedAt: at },
});

export const nowIso = ({ clock }: Pick<ImageSagaDeps, 'clock'>): string =>
  new Date(clock.nowMs()).toISOString();

/** The change, or nothing when the image is gone. */
export async function changeIfThere(
  { images }: Pick<ImageSagaDeps, 'images'>,
  image: string,
  changes: readonly ImageChange[] | ((record: ImageRecord) => readonly ImageChange[]),
  actor: string,
): Promise<void> {
  if ((await images.read(image)) !== undefined) await images.change(image, changes, actor);
}

/** Deletes copies from their disks, with what was promised to them, then from the record: what a node that is gone has left is swept when it is back. */
export async function deleteCopies(
  deps: Pick<ImageSagaDeps, 'images'>,
  context: NodeAccess & { readonly actor: string },
  image: string,
  copies: readonly Pick<ImageCopyRecord, 'node' | 'disk'>[],
  reason: string,
): Promise<void> {
  await Promise.all(
    copies.map(async ({ node, disk }) => {
      await cleanUp(context, node, 'image.delete-copy', { image, disk }, disk);
      await context.client.request('internal.placement.release-copy', { image, node, disk });
    }),
  );
  const drops = copies.map(({ disk }) => ({ type: 'drop-copy', disk, reason }) as const);
  if (drops.length > 0) await changeIfThere(deps, image, drops, context.actor);
}

/** The work's outcome, while what the nodes tell of it is shown as the operation's progress. */
export async function whileFollowed<T>(
  context: StepContext<unknown, unknown>,
  work: () => Promise<T>,
): Promise<T> {
  const stop = followProgress(context, ({ done, total, unit }) =>
    context.progress(done, total, unit),
  );
  try {
    return await work();
  } finally {
    stop();
  }
}
