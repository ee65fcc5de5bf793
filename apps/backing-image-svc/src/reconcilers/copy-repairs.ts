import {
  type ImageCopyRecord,
  type ImageRecord,
  comparePositions,
  hasCode,
  positionOf,
} from '@lariat/contracts';
import { type Clock, type ReconcileCounts, deriveOperationId } from '@lariat/kernel';
import type { CommandClient, LariatClient } from '@lariat/messaging';
import type { SagaRunner, SagaStore } from '@lariat/saga';
import type { Log } from '@lariat/telemetry';
import type { ImageStore } from '../adapters/image-store.js';
import type { ImageSettings } from '../domain/import-settings.js';
import type { StrayCopy } from '../domain/judge-copies.js';

export interface CopyKeeperDeps {
  readonly images: Pick<ImageStore, 'cached' | 'read' | 'list' | 'change' | 'deleted'>;
  readonly operations: Pick<SagaStore, 'running'>;
  readonly runner: Pick<SagaRunner, 'start'>;
  readonly client: Pick<LariatClient, 'request'>;
  readonly commands: Pick<CommandClient, 'send'>;
  readonly clock: Clock;
  readonly settings: Pick<
    ImageSettings,
    'evictAfterMs' | 'leastFreePercent' | 'strayAfterMs' | 'verifyEveryMs' | 'verifyMibPerSecond'
  >;
  readonly log: Log;
  readonly counts: ReconcileCounts;
}

export const ACTOR = 'backing-image-svc';
const COMMAND_TIMEOUT_MS = 15_000;

export const keyOf = (node: string, { image, disk }: StrayCopy): string =>
  `${node}/${image}/${disk}`;

/** Whether an operation makes this copy. */
export function isBeingFetched(
  { operations }: Pick<CopyKeeperDeps, 'operations'>,
  { image, disk }: StrayCopy,
): boolean {
  const subject = `image-copy/${image}/${disk}`;
  return Array.from(operations.running()).some(({ value }) => value.subject === subject);
}

/**
 * Has the node delete a copy that nobody wants; refused while something stands on it, and when the node knows more than the
 * record that does not want it.
 */
export async function deleteOn(
  { commands, clock }: Pick<CopyKeeperDeps, 'commands' | 'clock'>,
  node: string,
  copy: StrayCopy,
  decidedBy?: ImageRecord,
): Promise<void> {
  const wallMs = clock.nowMs();
  const key = keyOf(node, copy);
  await commands.send(node, {
    ...{ id: `sweep/${key}/${wallMs}`, operation: deriveOperationId('sweep', key) },
    ...{ step: 'sweep', fence: 1, deadlineAtMs: wallMs + COMMAND_TIMEOUT_MS },
    command: 'image.delete-copy',
    input: { ...copy, ...(decidedBy === undefined ? {} : { record: positionOf(decidedBy) }) },
  });
}

/** Takes a copy that is lost off the record, and ends what was promised to it. */
export async function dropCopy(
  { images, client, counts, log }: Pick<CopyKeeperDeps, 'images' | 'client' | 'counts' | 'log'>,
  node: string,
  { image, disk }: StrayCopy,
  reason: string,
  state: ImageCopyRecord['state'] = 'ready',
): Promise<void> {
  counts.repaired('image-copies');
  await client.request('internal.placement.release-copy', { image, node, disk });
  await images.change(
    image,
    ({ copies }) => {
      const isThere = copies.some((copy) => copy.disk === disk && copy.state === state);
      return isThere ? [{ type: 'drop-copy', disk, reason }] : [];
    },
    ACTOR,
  );
  log.warn('a copy of an image is lost', { image, node, disk, reason });
}

/** The node may have heard of another change of the image meanwhile: then what that record says of the copy counts. */
async function deleteUnwanted(
  deps: Pick<CopyKeeperDeps, 'images' | 'commands' | 'clock'>,
  decidedBy: ImageRecord,
  { node, disk }: Pick<ImageCopyRecord, 'node' | 'disk'>,
): Promise<void> {
  const { id: image } = decidedBy;
  const stateIn = ({ copies }: ImageRecord) => copies.find((copy) => copy.disk === disk)?.state;
  for (let record = decidedBy; ;) {
    try {
      return await deleteOn(deps, node, { image, disk }, record);
    } catch (error) {
      const now = hasCode(error, 'RECORD_STALE') ? await deps.images.read(image) : undefined;
      const isNewer =
        now !== undefined && comparePositions(positionOf(now), positionOf(record)) > 0;
      if (!isNewer || stateIn(now) !== stateIn(decidedBy)) throw error;
      record = now;
    }
  }
}

/** Deletes a copy that is marked for it, and is true; one that turns out to be in use is called back. */
export async function giveUpCopy(
  deps: Pick<CopyKeeperDeps, 'images' | 'client' | 'commands' | 'clock' | 'counts' | 'log'>,
  decidedBy: ImageRecord,
  { node, disk }: Pick<ImageCopyRecord, 'node' | 'disk'>,
  reason: string,
): Promise<boolean> {
  const { images, client, counts, log } = deps;
  const image = decidedBy.id;
  counts.repaired('image-copies');
  try {
    await deleteUnwanted(deps, decidedBy, { node, disk });
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
    return false;
  }
  await client.request('internal.placement.release-copy', { image, node, disk });
  await images.change(image, [{ type: 'drop-copy', disk, reason }], ACTOR);
  log.info('a copy of an image was given up', { image, node, disk, reason });
  return true;
}
