import {
  type ClusterDigests,
  type ImageCopyReference,
  MAX_DIGESTS_PER_PAGE,
  decodeDigestPage,
  encodeDigestPage,
  imageDraftNqn,
  lariatError,
  rootDigestOf,
} from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import type { CommandHandlers, HandlersOf } from './command-handlers.js';
import { copyClusters } from './copy-clusters.js';
import type { Exports } from './exports.js';
import type { ImageCopies } from './image-copies.js';
import type { ImageIo } from './image-io.js';
import type { ReadTask, SnapshotDigests } from './snapshot-digests.js';

export interface ImageContentCommandParts {
  readonly exports: Exports;
  readonly digests: SnapshotDigests;
  readonly images: ImageCopies;
  readonly io: ImageIo;
}

export type ImageContentCommandName =
  | 'image.fetch-copy'
  | 'image.digest-copy'
  | 'image.read-digests';

/** What a new draft has: nothing, so that clusters of zeros need no copying. */
const EMPTY = { digests: Buffer.alloc(0) };

/** What goes through the content of an image's copy. */
export function imageContentCommands(
  parts: ImageContentCommandParts,
): Pick<HandlersOf<'image'>, ImageContentCommandName> {
  const { exports, digests, images, io } = parts;

  const fetchCopy: CommandHandlers['image.fetch-copy'] = async (input, context) => {
    const { image, disk, source, firstCluster } = input;
    const copy = { image, disk };
    const draft = await images.draft(copy);
    const wanted = decodeDigestPage(input.digests);
    const end = firstCluster + wanted.length;
    if (firstCluster < 0 || end * CLUSTER_SIZE_BYTES > draft.params.sizeBytes) {
      throw lariatError(
        'REQUEST_INVALID',
        `clusters ${firstCluster} to ${end} are not all within the draft's ${draft.params.sizeBytes} bytes`,
      );
    }
    // A host that writes to it too would make the digests that are checked here worth nothing.
    await images.alone(copy, () => exports.remove(imageDraftNqn(draft.uuid)));
    const mismatch = (cluster: number): Error => sourceCorrupt(image, source.nqn, cluster);
    const task = { wanted, firstCluster, have: EMPTY, mismatch, progress: context.progress };
    const { copiedClusters } = await io.whileFetching(copy, source, (from) =>
      io.whileWritable(copy, draft, (to) => copyClusters({ ...task, from, to })),
    );
    return { copiedClusters };
  };

  const digestCopy: CommandHandlers['image.digest-copy'] = async (input, context) => {
    const { image, disk, reread, mibPerSecond = 0 } = input;
    const read = await digestsOf({ image, disk }, reread ? 'new' : 'any', {
      progress: context.progress,
      ...(mibPerSecond > 0 ? { mibPerSecond } : {}),
    });
    return { sha256: rootDigestOf(read), sizeBytes: read.sizeBytes };
  };

  const readDigests: CommandHandlers['image.read-digests'] = async (input, { progress }) => {
    const { image, disk, firstCluster } = input;
    const read = await digestsOf({ image, disk }, 'any', { progress });
    const clusters = Math.min(input.clusters, MAX_DIGESTS_PER_PAGE);
    return { digests: encodeDigestPage(read, firstCluster, clusters) };
  };

  async function digestsOf(
    copy: ImageCopyReference,
    reading: ReadTask['reading'],
    how: Pick<ReadTask, 'progress' | 'mibPerSecond'>,
  ): Promise<ClusterDigests> {
    const lvol = await images.sealed(copy);
    const whileOpen: ReadTask['whileOpen'] = (use) => io.whileReadable(copy, use);
    return digests.ofLvol({ ...how, lvol, reading, whileOpen });
  }

  return {
    'image.fetch-copy': fetchCopy,
    'image.digest-copy': digestCopy,
    'image.read-digests': readDigests,
  };
}

function sourceCorrupt(image: string, nqn: string, cluster: number): Error {
  return lariatError(
    'IMAGE_COPY_CORRUPT',
    `cluster ${cluster} of image ${image} at ${nqn} does not have its digest; verify that copy, and fetch from another`,
    { image, cluster },
  );
}
