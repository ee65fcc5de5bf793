import {
  type ImageCopyRecord,
  type ImageRecord,
  type LeaveDiskRequest,
  type NodeView,
  hasCode,
  isEnded,
  lariatError,
} from '@lariat/contracts';
import { LariatError } from '@lariat/kernel';
import type { ImageService } from '../app-tokens.js';
import { findDisk, noRoomForImage } from '../domain/choose-disk.js';
import { readyElsewhere } from '../domain/judge-copies.js';
import { dropCopy, giveUpCopy } from '../reconcilers/copy-repairs.js';

export type LeaveDiskDeps = Pick<
  ImageService,
  | 'images'
  | 'runner'
  | 'client'
  | 'commands'
  | 'clock'
  | 'eviction'
  | 'operations'
  | 'counts'
  | 'log'
>;

/** As long as a copy of the largest image may take; whoever asks waits with a deadline of its own. */
const SPREAD_TIMEOUT_MS = 12 * 3_600_000;

/**
 * Takes the copy of an image off a disk that is to be emptied, when there are as many as there should be without it; one
 * is made elsewhere first where there are too few. Done again it joins what runs, and finds what is done.
 */
export async function leaveDisk(
  deps: LeaveDiskDeps,
  { image, node, disk }: LeaveDiskRequest,
  actor: string,
): Promise<void> {
  const { images, client } = deps;
  const record = await images.read(image);
  const copy = record?.copies.find((one) => one.disk === disk && one.node === node);
  if (record === undefined || copy === undefined) return;
  refuseBusy(deps, record, copy);
  const { nodes } = await client.request('node.list', {});
  refuseGone(nodes, copy);
  if (copy.state !== 'deleting') {
    await haveEnoughElsewhere(deps, record, copy, nodes, actor);
    await markForDeletion(deps, copy, image, actor);
  }
  const marked = await images.read(image);
  const now = marked?.copies.find((one) => one.disk === disk);
  if (marked === undefined || now === undefined) return;
  // Another copy that was counted on has gone in the meantime.
  if (now.state !== 'deleting')
    throw lariatError('OPERATION_IN_PROGRESS', `Copies of image '${record.name}' are changing.`, {
      image,
    });
  try {
    if (await giveUpCopy(deps, marked, copy, 'its disk is being emptied')) return;
  } catch (reason) {
    if (!hasCode(reason, 'DISK_LOST')) throw reason;
    // No owner is left on record: it goes when its disk is back.
    await dropCopy(deps, node, { image, disk }, 'its disk is lost', 'deleting');
    return;
  }
  throw lariatError(
    'IMAGE_COPY_IN_USE',
    `A replica on disk ${disk} of node '${node}' stands on the copy of image '${record.name}': move or delete that first.`,
    { image, node, disk },
  );
}

async function haveEnoughElsewhere(
  { runner, client, eviction }: LeaveDiskDeps,
  record: ImageRecord,
  copy: ImageCopyRecord,
  nodes: readonly NodeView[],
  actor: string,
): Promise<void> {
  const isReady = readyAmong(nodes);
  if (hasEnough(record, copy, isReady)) return;
  const exceptNodes = record.copies
    .filter(({ disk }) => disk !== copy.disk)
    .map(({ node }) => node);
  const choice = {
    nodes,
    needBytes: record.sizeBytes,
    exceptNodes,
    exceptDisks: record.copies.map(({ disk }) => disk),
  };
  const place = findDisk(choice) ?? findDisk({ ...choice, idle: await eviction.idle() });
  if (place === undefined) throw noRoomForImage(record.sizeBytes);
  const input = { image: record.id, ...place };
  const started = await runner.start({
    ...{ kind: 'image.spread', input, actor, requestId: undefined },
  });
  const { error } = await runner.wait(started.id, SPREAD_TIMEOUT_MS);
  if (error !== null) throw LariatError.fromRecord(error);
  // The minimum may be more than one: what is missing still is found by the next request.
  const { copies } = await client.request('internal.image.record', {
    image: record.id,
    fresh: true,
  });
  if (!hasEnough({ ...record, copies }, copy, isReady)) throw stillBusy(record, started.id);
}

const readyAmong =
  (nodes: readonly NodeView[]) =>
  (name: string): boolean =>
    nodes.some((node) => node.name === name && node.state === 'ready');

const hasEnough = (
  record: Pick<ImageRecord, 'copies' | 'minimumCopies'>,
  copy: Pick<ImageCopyRecord, 'disk'>,
  isReady: (node: string) => boolean,
): boolean =>
  readyElsewhere(record, copy.disk, isReady).length >= Math.max(1, record.minimumCopies);

/** Decided on the very record that is changed: what was counted may be going as well. */
async function markForDeletion(
  { images, client }: LeaveDiskDeps,
  { disk }: ImageCopyRecord,
  image: string,
  actor: string,
): Promise<void> {
  const { nodes } = await client.request('node.list', {});
  const isReady = readyAmong(nodes);
  await images.change(
    image,
    (current) => {
      if (current.operation !== null) throw stillBusy(current, current.operation);
      return current.copies
        .filter((copy) => copy.disk === disk && copy.state !== 'fetching')
        .filter((copy) => hasEnough(current, copy, isReady))
        .map((copy) => ({ type: 'put-copy', copy: { ...copy, state: 'deleting' } }));
    },
    actor,
  );
}

/** What an operation does with the image, or with this copy, comes first. */
function refuseBusy(
  { operations }: LeaveDiskDeps,
  record: ImageRecord,
  copy: ImageCopyRecord,
): void {
  if (record.operation !== null) throw stillBusy(record, record.operation);
  if (copy.state !== 'fetching') return;
  const subject = `image-copy/${record.id}/${copy.disk}`;
  const fetching = Array.from(operations.running()).find(({ value }) => value.subject === subject);
  if (fetching !== undefined && !isEnded(fetching.value.state))
    throw stillBusy(record, fetching.value.id);
}

function refuseGone(nodes: readonly NodeView[], { node: name }: ImageCopyRecord): void {
  const node = nodes.find((candidate) => candidate.name === name);
  if (node !== undefined && node.state !== 'down') return;
  throw lariatError(
    'NODE_NOT_READY',
    `Node '${name}' is ${node?.state ?? 'not on record'}: its copies of images can't be deleted before it is back.`,
    { node: name },
  );
}

const stillBusy = ({ id, name }: Pick<ImageRecord, 'id' | 'name'>, operation: string): Error =>
  lariatError('OPERATION_IN_PROGRESS', `Operation ${operation} works on image '${name}'.`, {
    image: id,
    operation,
  });
