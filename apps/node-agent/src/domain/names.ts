import { LariatError } from '@lariat/kernel';

/** SPDK's limit for names of bdevs, lvols and controllers (SPDK_LVOL_NAME_MAX and its like, less the NUL). */
const MAX_NAME_LENGTH = 63;

function bounded(name: string): string {
  if (name.length <= MAX_NAME_LENGTH) return name;
  throw new LariatError({
    kind: 'invalid',
    code: 'REQUEST_INVALID',
    message: `'${name}' is longer than the ${MAX_NAME_LENGTH} characters that a target allows; use shorter ids`,
  });
}

export const aioName = (disk: string): string => bounded(`aio-${disk}`);
export const headLvolName = (replica: string): string => bounded(replica);
export const snapshotLvolName = (replica: string, snapshot: string): string =>
  bounded(`${replica}.${snapshot}`);
export const scratchLvolName = (replica: string): string => bounded(`${replica}.scratch`);
export const imageLvolName = (image: string): string => bounded(image);
export const imageDraftLvolName = (image: string): string => bounded(`${image}.draft`);
/** An lvol's alias; the lvol store is named after the disk. */
export const lvolAlias = (disk: string, lvolName: string): string => `${disk}/${lvolName}`;

/** The engine's controller for a remote leg. */
export const legControllerName = (replica: string): string => bounded(replica);
/** A rebuild destination's controller for the source's snapshot. */
export const sourceControllerName = (replica: string): string => bounded(`${replica}.source`);
/** A rebuild source's controller for the destination's scratch lvol; one source may feed several. */
export const copyControllerName = (scratchNqn: string): string =>
  bounded(`copy.${scratchNqn.slice(scratchNqn.lastIndexOf(':') + 1)}`);
/** The bdev of a controller's only namespace. */
export const namespaceBdev = (controller: string): string => `${controller}n1`;

/** A short-lived read-only export for a checksum, to this node alone. */
export const checksumNqn = (replica: string, snapshot: string | null): string =>
  `nqn.2026-11.io.lariat:checksum:${replica}${snapshot === null ? '' : `:${snapshot}`}`;

/** A short-lived export of a scratch lvol that this node itself writes to. */
export const patchNqn = (replica: string): string => `nqn.2026-11.io.lariat:patch:${replica}`;

/** A short-lived export of an image's draft that this node itself writes to. */
export const imagePatchNqn = (lvolUuid: string): string =>
  `nqn.2026-11.io.lariat:image-patch:${lvolUuid}`;
