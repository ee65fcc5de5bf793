import { CLUSTER_SIZE_BYTES, roundUpToCluster } from '@lariat/kernel';
import {
  type ImageCopyReference,
  MAX_DIGESTS_PER_PAGE,
  decodeDigestPage,
  encodeDigestPage,
  imageDraftNqn,
  imageFetchHostNqn,
  lariatError,
  nodeHostNqn,
  rootDigestOf,
} from '@lariat/contracts';
import { imagePatchNqn, lvolAlias } from '../domain/names.js';
import { imageCopyOwner } from '../domain/ownership.js';
import type { ConnectedDevice } from '../ports/block-connector.port.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { CommandHandlers, HandlersOf } from './command-handlers.js';
import { copyClusters } from './copy-clusters.js';
import type { Exports } from './exports.js';
import { type ImageCopies, usersAmong } from './image-copies.js';
import type { LvolReader } from './lvol-reader.js';
import type { Lvols, MadeLvol } from './lvols.js';
import { requireDisk } from './replica.commands.js';
import type { Reading, SnapshotDigests } from './snapshot-digests.js';

export interface ImageCommandParts {
  readonly node: string;
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly lvols: Lvols;
  readonly exports: Exports;
  readonly reader: LvolReader;
  readonly digests: SnapshotDigests;
  readonly images: ImageCopies;
}

/** What a new draft has: nothing, so that clusters of zeros need no copying. */
const EMPTY = { digests: Buffer.alloc(0) };

/** Commands on the copies of images on this node's disks (docs/adr/0019). */
export function imageCommands(parts: ImageCommandParts): HandlersOf<'image'> {
  const { node, journal, target, lvols, exports, reader, digests, images } = parts;

  const createCopy: CommandHandlers['image.create-copy'] = async (input, context) => {
    const { image, disk, hostNqn } = input;
    const copy = { image, disk };
    requireDisk(journal, disk);
    const sizeBytes = roundUpToCluster(input.sizeBytes);
    return images.alone(copy, async () => {
      requireNoOther(copy, context.operation, sizeBytes);
      if (images.recordOf(copy, 'image-draft')?.uuid != null) await images.draft(copy);
      const { operation } = context;
      const draft = await lvols.makeEmpty(
        images.plan(copy, 'image-draft', { operation, sizeBytes }),
      );
      if (hostNqn === null) await exports.remove(imageDraftNqn(draft.uuid));
      const endpoint = hostNqn === null ? null : await images.openDraft(copy, draft, hostNqn);
      return { lvolUuid: draft.uuid, sizeBytes, endpoint };
    });
  };

  /** What another operation wrote must neither be taken for this one's nor be lost unasked. */
  function requireNoOther(copy: ImageCopyReference, operation: string, sizeBytes: number): void {
    const sealed = images.recordOf(copy, 'image');
    const draft = images.recordOf(copy, 'image-draft');
    const isOurs = draft?.operation === operation && draft.params.sizeBytes === sizeBytes;
    if (sealed === undefined && (draft === undefined || isOurs)) return;
    const what =
      sealed === undefined
        ? `a draft of ${draft?.params.sizeBytes} bytes by operation ${draft?.operation}`
        : 'a copy that is sealed';
    throw lariatError(
      'IMAGE_COPY_EXISTS',
      `disk ${copy.disk} has ${what} of image ${copy.image}; delete it first`,
      { ...copy },
    );
  }

  const sealCopy: CommandHandlers['image.seal-copy'] = async ({ image, disk }, context) => {
    const copy = { image, disk };
    return images.alone(copy, async () => {
      if (images.recordOf(copy, 'image')?.uuid != null) {
        const sealed = await images.sealed(copy);
        await dropDraft(copy);
        return describe(sealed);
      }
      const draft = await images.draft(copy);
      // From here on nobody else writes to it; the flush is for what the writer did not flush.
      await exports.remove(imageDraftNqn(draft.uuid));
      await whileWritable(copy, draft, (device) => device.flush());
      const { operation } = context;
      const { sizeBytes } = draft.params;
      const plan = images.plan(copy, 'image', { operation, sizeBytes });
      const sealed = await lvols.make(plan, () =>
        target.spdk().lvol.snapshot(draft.uuid, plan.params.lvolName),
      );
      await dropDraft(copy);
      return describe(sealed);
    });
  };

  async function describe(
    sealed: MadeLvol,
  ): Promise<{ lvolUuid: string; sizeBytes: number; allocatedBytes: number }> {
    const { lvol, sizeBytes } = await lvols.info(sealed);
    const allocatedBytes = (lvol?.allocatedClusters ?? 0) * CLUSTER_SIZE_BYTES;
    return { lvolUuid: sealed.uuid, sizeBytes, allocatedBytes };
  }

  async function dropDraft(copy: ImageCopyReference): Promise<void> {
    const draft = images.recordOf(copy, 'image-draft');
    if (draft === undefined) return;
    if (draft.uuid !== null) {
      await exports.remove(imageDraftNqn(draft.uuid));
      await exports.remove(imagePatchNqn(draft.uuid));
    }
    await lvols.remove(draft);
  }

  function whileWritable<T>(
    { image, disk }: ImageCopyReference,
    draft: MadeLvol,
    use: (device: ConnectedDevice) => Promise<T>,
  ): Promise<T> {
    const owner = imageCopyOwner(image, disk);
    const { operation } = draft;
    const nqn = imagePatchNqn(draft.uuid);
    return reader.whileOpen({ lvol: draft, owner, volume: null, operation, nqn }, use);
  }

  async function whileReadable<T>(
    copy: ImageCopyReference,
    use: (device: ConnectedDevice) => Promise<T>,
  ): Promise<T> {
    const self = nodeHostNqn(node);
    const endpoint = await images.admit(copy, self);
    try {
      return await reader.whileConnected(endpoint, use);
    } finally {
      await images.dismiss(copy, self);
    }
  }

  const exportCopy: CommandHandlers['image.export-copy'] = ({ image, disk, hostNqn }) =>
    images.admit({ image, disk }, hostNqn);

  const unexportCopy: CommandHandlers['image.unexport-copy'] = async (input) => {
    const { image, disk, hostNqn } = input;
    await images.dismiss({ image, disk }, hostNqn);
    return {};
  };

  const fetchCopy: CommandHandlers['image.fetch-copy'] = async (input, context) => {
    const { image, disk, source, firstCluster } = input;
    const copy = { image, disk };
    const draft = await images.draft(copy);
    const wanted = decodeDigestPage(input.digests);
    if ((firstCluster + wanted.length) * CLUSTER_SIZE_BYTES > draft.params.sizeBytes) {
      throw lariatError(
        'REQUEST_INVALID',
        `clusters ${firstCluster} to ${firstCluster + wanted.length} are not all within the draft's ${draft.params.sizeBytes} bytes`,
      );
    }
    // A host that writes to it too would make the digests that are checked here worth nothing.
    await images.alone(copy, () => exports.remove(imageDraftNqn(draft.uuid)));
    const task = { wanted, firstCluster, have: EMPTY, progress: context.progress };
    const mismatch = (cluster: number): Error => sourceCorrupt(image, source.nqn, cluster);
    const { copiedClusters } = await reader.whileConnected(
      source,
      (from) => whileWritable(copy, draft, (to) => copyClusters({ ...task, from, to, mismatch })),
      imageFetchHostNqn(image, disk),
    );
    return { copiedClusters };
  };

  const digestCopy: CommandHandlers['image.digest-copy'] = async (input, context) => {
    const { image, disk, reread, mibPerSecond } = input;
    const reading = reread ? 'new' : 'any';
    const of = mibPerSecond === undefined ? {} : { mibPerSecond };
    const read = await digestsOf({ image, disk }, reading, { ...of, progress: context.progress });
    return { sha256: rootDigestOf(read), sizeBytes: read.sizeBytes };
  };

  const readDigests: CommandHandlers['image.read-digests'] = async (input, context) => {
    const { image, disk, firstCluster } = input;
    const read = await digestsOf({ image, disk }, 'any', { progress: context.progress });
    const clusters = Math.min(input.clusters, MAX_DIGESTS_PER_PAGE);
    return { digests: encodeDigestPage(read, firstCluster, clusters) };
  };

  async function digestsOf(
    copy: ImageCopyReference,
    reading: Reading,
    how: Pick<Parameters<SnapshotDigests['ofLvol']>[0], 'progress' | 'mibPerSecond'>,
  ): ReturnType<SnapshotDigests['ofLvol']> {
    const lvol = await images.sealed(copy);
    return digests.ofLvol({ ...how, lvol, reading, whileOpen: (use) => whileReadable(copy, use) });
  }

  const deleteCopy: CommandHandlers['image.delete-copy'] = async ({ image, disk }) => {
    const copy = { image, disk };
    await images.alone(copy, async () => {
      const sealed = images.recordOf(copy, 'image');
      if (sealed !== undefined && sealed.uuid !== null) await requireUnused(copy, sealed.uuid);
      for (const thing of journal.ownedBy(imageCopyOwner(image, disk)))
        if (thing.kind === 'subsystem') await exports.remove(thing.name);
      await dropDraft(copy);
      if (sealed !== undefined) await lvols.remove(sealed);
    });
    await digests.sweep();
    return {};
  };

  async function requireUnused(copy: ImageCopyReference, uuid: string): Promise<void> {
    const clones = usersAmong(copy.image, await lvols.clonesOf(uuid));
    if (clones.length === 0) return;
    const owners = clones.map((clone) => ({
      clone,
      replica: journal.owned('lvol', lvolAlias(copy.disk, clone))?.owner,
    }));
    const replicas = [...new Set(owners.flatMap(({ replica }) => replica ?? []))];
    const strangers = owners.flatMap(({ clone, replica }) => (replica === undefined ? clone : []));
    throw lariatError(
      'IMAGE_COPY_IN_USE',
      `${clones.length} lvol(s) stand on the copy of image ${copy.image} on disk ${copy.disk}: of replicas ${replicas.join(', ') || 'none'}${strangers.length > 0 ? `, and ${strangers.join(', ')}, which no record of this node names` : ''}; delete those first`,
      { ...copy, replicas, strangers },
    );
  }

  return {
    'image.create-copy': createCopy,
    'image.seal-copy': sealCopy,
    'image.export-copy': exportCopy,
    'image.unexport-copy': unexportCopy,
    'image.fetch-copy': fetchCopy,
    'image.digest-copy': digestCopy,
    'image.read-digests': readDigests,
    'image.delete-copy': deleteCopy,
  };
}

function sourceCorrupt(image: string, nqn: string, cluster: number): Error {
  return lariatError(
    'IMAGE_COPY_CORRUPT',
    `cluster ${cluster} of image ${image} at ${nqn} does not have its digest; verify that copy, and fetch from another`,
    { image, cluster },
  );
}
