import {
  type ImageCopyReference,
  type NvmfEndpoint,
  imageCopyNqn,
  imageDraftNqn,
  lariatError,
} from '@lariat/contracts';
import type { KeyedQueue } from '@lariat/kernel';
import { imageDraftLvolName, imageLvolName, lvolAlias } from '../domain/names.js';
import { type OwnedLvol, imageCopyOwner } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { ExportPlan, Exports } from './exports.js';
import type { LvolPlan, Lvols, MadeLvol } from './lvols.js';

export interface ImageCopiesParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly lvols: Lvols;
  readonly exports: Exports;
  readonly queue: KeyedQueue;
}

type ImageRole = 'image-draft' | 'image';

const lvolNameOf = (image: string, role: ImageRole): string =>
  role === 'image' ? imageLvolName(image) : imageDraftLvolName(image);

/** The lane of what changes an image's copy: its clones, its exports, its end. */
export const imageCopyLane = (owner: string): string => `copy-of/${owner}`;

/** The copies of images on this node's disks: each a draft, then a read-only snapshot of it. */
export class ImageCopies {
  constructor(private readonly parts: ImageCopiesParts) {}

  /** Nobody else changes the copy, stands a clone on it or deletes it meanwhile. */
  alone<T>({ image, disk }: ImageCopyReference, task: () => Promise<T>): Promise<T> {
    return this.parts.queue.run(imageCopyLane(imageCopyOwner(image, disk)), task);
  }

  recordOf({ image, disk }: ImageCopyReference, role: ImageRole): OwnedLvol | undefined {
    const record = this.parts.journal.owned('lvol', lvolAlias(disk, lvolNameOf(image, role)));
    // What only has its name is not the image's.
    return record?.owner === imageCopyOwner(image, disk) ? record : undefined;
  }

  plan(
    { image, disk }: ImageCopyReference,
    role: ImageRole,
    of: { readonly operation: string; readonly sizeBytes: number },
  ): LvolPlan {
    const lvolName = lvolNameOf(image, role);
    return {
      owner: imageCopyOwner(image, disk),
      volume: null,
      operation: of.operation,
      epoch: null,
      params: {
        ...{ disk, lvolName, role, image, sizeBytes: of.sizeBytes },
        ...{ snapshot: null, sourceController: null, revertTo: null },
      },
    };
  }

  async draft(copy: ImageCopyReference): Promise<MadeLvol> {
    const record = this.recordOf(copy, 'image-draft');
    if (record === undefined) throw notFound(copy, 'has no draft');
    return this.parts.lvols.require(
      record.name,
      `the draft of ${nameOf(copy)}`,
      'IMAGE_COPY_NOT_FOUND',
    );
  }

  /** The copy that replicas can stand on, confirmed on its disk. */
  async sealed(copy: ImageCopyReference): Promise<MadeLvol> {
    const record = this.recordOf(copy, 'image');
    if (record !== undefined && record.uuid !== null)
      return this.parts.lvols.require(record.name, nameOf(copy), 'IMAGE_COPY_NOT_FOUND');
    if (record === undefined && this.recordOf(copy, 'image-draft') === undefined)
      throw notFound(copy, 'is not there');
    throw lariatError(
      'IMAGE_COPY_NOT_SEALED',
      `${nameOf(copy)} is still being written; try again when it is sealed`,
      { ...copy },
    );
  }

  /** Makes an lvol of a replica as a clone of the sealed copy, as large as the plan says. */
  clone(copy: ImageCopyReference, plan: LvolPlan): Promise<MadeLvol> {
    const { target, lvols } = this.parts;
    return this.alone(copy, async () => {
      const sealed = await this.sealed(copy);
      const { sizeBytes, lvolName } = plan.params;
      if (sealed.params.sizeBytes > sizeBytes) {
        throw lariatError(
          'SIZE_TOO_SMALL',
          `image ${copy.image} has ${sealed.params.sizeBytes} bytes, and a volume of ${sizeBytes} cannot hold it; make it larger`,
          { imageBytes: sealed.params.sizeBytes, sizeBytes },
        );
      }
      const made = await lvols.make(plan, () => target.spdk().lvol.clone(sealed.uuid, lvolName));
      return lvols.grow(made, sizeBytes);
    });
  }

  /** Exports the draft to one host, and to nobody else. */
  openDraft(copy: ImageCopyReference, draft: MadeLvol, hostNqn: string): Promise<NvmfEndpoint> {
    const nqn = imageDraftNqn(draft.uuid);
    return this.parts.exports.ensure(exportPlan(copy, draft, 'image-draft', nqn, [hostNqn]));
  }

  /** Lets a host read the sealed copy, beside those that do. */
  admit(copy: ImageCopyReference, hostNqn: string): Promise<NvmfEndpoint> {
    return this.alone(copy, async () => {
      const sealed = await this.sealed(copy);
      const nqn = imageCopyNqn(sealed.uuid);
      const hosts = this.parts.journal.owned('subsystem', nqn)?.params.hosts ?? [];
      const all = [...hosts.filter((host) => host !== hostNqn), hostNqn];
      return this.parts.exports.ensure(exportPlan(copy, sealed, 'image', nqn, all));
    });
  }

  /** Ends what `admit` gave. */
  dismiss(copy: ImageCopyReference, hostNqn: string): Promise<void> {
    return this.alone(copy, async () => {
      const { journal, exports } = this.parts;
      const uuid = this.recordOf(copy, 'image')?.uuid ?? null;
      const nqn = uuid === null ? undefined : imageCopyNqn(uuid);
      const record = nqn === undefined ? undefined : journal.owned('subsystem', nqn);
      if (record === undefined || record.uuid === null) return;
      const hosts = record.params.hosts.filter((host) => host !== hostNqn);
      if (hosts.length === 0) await exports.remove(record.name);
      else {
        const { kind: _kind, ...plan } = record;
        await exports.ensure({ ...plan, uuid: record.uuid, params: { ...record.params, hosts } });
      }
    });
  }
}

/** Of an image's clones those that use it: not the draft that a seal has just frozen. */
export const usersAmong = (image: string, clones: readonly string[]): readonly string[] =>
  clones.filter((clone) => clone !== imageDraftLvolName(image));

function exportPlan(
  { image, disk }: ImageCopyReference,
  lvol: MadeLvol,
  role: ImageRole,
  nqn: string,
  hosts: readonly string[],
): ExportPlan {
  return {
    name: nqn,
    uuid: lvol.uuid,
    owner: imageCopyOwner(image, disk),
    volume: null,
    operation: lvol.operation,
    epoch: null,
    params: { role, bdevName: lvol.uuid, hosts },
  };
}

const nameOf = ({ image, disk }: ImageCopyReference): string =>
  `the copy of image ${image} on disk ${disk}`;

function notFound(copy: ImageCopyReference, what: string): Error {
  return lariatError(
    'IMAGE_COPY_NOT_FOUND',
    `${nameOf(copy)} ${what}; fetch it from another disk first`,
    { ...copy },
  );
}
