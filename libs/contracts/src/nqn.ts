import { createHash } from 'node:crypto';

/**
 * NVMe qualified names that Lariat uses. Each fits SPDK's and the specification's 223 bytes, and holds ids
 * alone, never a user's words.
 */
const PREFIX = 'nqn.2026-11.io.lariat';

/** Whether it is one that Lariat gives. */
export const isLariatNqn = (nqn: string): boolean => nqn.startsWith(`${PREFIX}:`);

const MAX_NQN_BYTES = 223;
const UUID_NQN = 'nqn.2014-08.org.nvmexpress:uuid:';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
/** A month, a domain backwards, and what its owner calls it. */
const DOMAIN_NQN = /^nqn\.\d{4}-\d{2}(\.[a-z]([a-z0-9-]{0,61}[a-z0-9])?)+:[^\s\p{C}]+$/iu;

/** Whether it is a name that every target takes: as the specification has it, and SPDK checks it. */
export const isNqn = (text: string): boolean =>
  Buffer.byteLength(text) <= MAX_NQN_BYTES &&
  (text.startsWith(UUID_NQN) ? UUID.test(text.slice(UUID_NQN.length)) : DOMAIN_NQN.test(text));

/** The host id that goes with a host name that Lariat gives: a kernel takes one host id for one host name only. */
export function hostIdOf(hostNqn: string): string {
  const hex = createHash('sha256').update(hostNqn).digest('hex');
  // Version 8 of RFC 9562: made of what its maker chooses.
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

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

/**
 * The host name of the frontend that serves an attached volume on its node; under `nvmf`, of the host that the attachment
 * is for, when its caller names none.
 */
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
