import { type ImageCopyReference, imageDraftNqn, lariatError } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, roundUpToCluster } from '@lariat/kernel';
import { imageLvolName, imagePatchNqn, lvolAlias } from '../domain/names.js';
import { imageCopyOwner } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { CommandHandlers, HandlersOf } from './command-handlers.js';
import type { Exports } from './exports.js';
import type { ImageContentCommandName } from './image-content.commands.js';
import { type ImageCopies, usersAmong } from './image-copies.js';
import type { ImageFileCommandName } from './image-file.commands.js';
import type { ImageIo } from './image-io.js';
import { dropUnneededRecord, requireNoNewerRecord } from './kept-records.js';
import type { Lvols, MadeLvol } from './lvols.js';
import { requireDisk } from './replica.commands.js';
import type { SnapshotDigests } from './snapshot-digests.js';

export interface ImageCommandParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly lvols: Lvols;
  readonly exports: Exports;
  readonly digests: SnapshotDigests;
  readonly images: ImageCopies;
  readonly io: ImageIo;
}

/** Making, sealing, exporting and deleting copies of images on this node's disks (docs/adr/0019). */
export function imageCommands(
  parts: ImageCommandParts,
): Omit<HandlersOf<'image'>, ImageContentCommandName | ImageFileCommandName> {
  const { journal, target, lvols, exports, digests, images, io } = parts;

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
      await io.whileWritable(copy, draft, (device) => device.flush());
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

  const adoptCopy: CommandHandlers['image.adopt-copy'] = async (input, context) => {
    const { image, disk, lvolUuid } = input;
    const copy = { image, disk };
    requireDisk(journal, disk);
    return images.alone(copy, async () => {
      if (images.recordOf(copy, 'image') === undefined)
        await adopt(copy, lvolUuid, context.operation);
      return { lvolUuid: (await images.sealed(copy)).uuid };
    });
  };

  async function adopt(copy: ImageCopyReference, uuid: string, operation: string): Promise<void> {
    const { lvol, bdev } = target.spdk();
    const present = await lvol.getLvols({ lvsName: copy.disk });
    const seen = present.find((one) => one.uuid === uuid && one.name === imageLvolName(copy.image));
    // A copy that was never sealed can still change.
    if (seen === undefined || !seen.isSnapshot) {
      throw lariatError(
        'IMAGE_COPY_NOT_FOUND',
        `disk ${copy.disk} has no sealed copy ${uuid} of image ${copy.image}`,
        { ...copy },
      );
    }
    const { sizeBytes } = await bdev.getBdev(uuid);
    const plan = images.plan(copy, 'image', { operation, sizeBytes });
    await journal.putOwned({ ...plan, kind: 'lvol', name: seen.alias, uuid });
  }

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

  const exportCopy: CommandHandlers['image.export-copy'] = ({ image, disk, hostNqn }) =>
    images.admit({ image, disk }, hostNqn);

  const unexportCopy: CommandHandlers['image.unexport-copy'] = async (input) => {
    const { image, disk, hostNqn } = input;
    await images.dismiss({ image, disk }, hostNqn);
    return {};
  };

  const deleteCopy: CommandHandlers['image.delete-copy'] = async ({ image, disk, record }) => {
    const copy = { image, disk };
    await images.alone(copy, async () => {
      requireNoNewerRecord(journal, 'image', image, record);
      const sealed = images.recordOf(copy, 'image');
      // What is not there has no clones; of what can't be looked at nobody knows.
      if (sealed !== undefined && sealed.uuid !== null && (await lvols.isPresent(sealed)))
        await requireUnused(copy, await images.sealed(copy));
      for (const thing of journal.ownedBy(imageCopyOwner(image, disk)))
        if (thing.kind === 'subsystem') await exports.remove(thing.name);
      await dropDraft(copy);
      if (sealed !== undefined) await lvols.remove(sealed);
      await dropUnneededRecord(journal, 'image', image);
    });
    await digests.sweep();
    return {};
  };

  async function requireUnused(copy: ImageCopyReference, sealed: MadeLvol): Promise<void> {
    const { lvol } = await lvols.info(sealed);
    const clones = usersAmong(copy.image, lvol?.clones ?? []);
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
    'image.adopt-copy': adoptCopy,
    'image.export-copy': exportCopy,
    'image.unexport-copy': unexportCopy,
    'image.delete-copy': deleteCopy,
  };
}
