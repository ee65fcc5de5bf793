/**
 * NVMe qualified names that Lariat uses. Each fits SPDK's and the specification's 223 bytes, and holds ids
 * alone, never a user's words.
 */
const PREFIX = 'nqn.2026-11.io.lariat';

/** Whether it is one that Lariat gives. */
export const isLariatNqn = (nqn: string): boolean => nqn.startsWith(`${PREFIX}:`);

/** Subsystem through which an attached volume is used. */
export const volumeNqn = (volume: string): string => `${PREFIX}:volume:${volume}`;

/** Subsystem of one replica's head; admits only the host of the current epoch's engine. */
export const replicaNqn = (replica: string): string => `${PREFIX}:replica:${replica}`;

/** Read-only subsystem of a replica's snapshot, for a rebuild on another node and for images that are made of it. */
export const snapshotNqn = (replica: string, snapshot: string): string =>
  `${PREFIX}:snapshot:${replica}:${snapshot}`;

/** Subsystem of the lvol into which a rebuild copies the chain. */
export const scratchNqn = (replica: string): string => `${PREFIX}:scratch:${replica}`;

/** The host name that a volume's engine uses towards its legs; a new epoch has a new one (invariant 3). */
export const engineHostNqn = (volume: string, epoch: number): string =>
  `${PREFIX}:engine:${volume}:${epoch}`;

/** The host name that a node's agent and target use for copies and checksums. */
export const nodeHostNqn = (node: string): string => `${PREFIX}:node:${node}`;

/** The host name of the frontend that serves an attached volume on its node. */
export const frontendHostNqn = (volume: string, epoch: number): string =>
  `${PREFIX}:frontend:${volume}:${epoch}`;

/**
 * Subsystem through which a draft of an image's copy is written. By its lvol, so that the writer of a draft that was
 * given up never finds its way to the next one.
 */
export const imageDraftNqn = (lvolUuid: string): string => `${PREFIX}:image-draft:${lvolUuid}`;

/** Read-only subsystem of an image's sealed copy. */
export const imageCopyNqn = (lvolUuid: string): string => `${PREFIX}:image-copy:${lvolUuid}`;

/** The host name under which an agent reads another copy to make the one on this disk: one may end while others read on. */
export const imageFetchHostNqn = (image: string, disk: string): string =>
  `${PREFIX}:image-fetch:${image}:${disk}`;

/** The host name under which the image service writes the draft that an operation imports into, and reads what it imports. */
export const imageImportHostNqn = (operation: string): string =>
  `${PREFIX}:image-import:${operation}`;
