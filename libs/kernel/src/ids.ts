import { createHash, randomBytes, randomUUID } from 'node:crypto';

declare const brand: unique symbol;
type Id<Kind extends string> = string & { readonly [brand]: Kind };

export type VolumeId = Id<'volume'>;
export type ReplicaId = Id<'replica'>;
export type SnapshotId = Id<'snapshot'>;
export type DiskId = Id<'disk'>;
export type OperationId = Id<'operation'>;
export type ImageId = Id<'image'>;
export type OrphanId = Id<'orphan'>;
/** A node is known by the DNS label that its operator gave it. */
export type NodeName = Id<'node'>;

/** Crockford's base 32 in lower case: no i, l, o, u. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const RANDOM_LENGTH = 12;

/** Ids are short: SPDK allows names of 63 characters, and an lvol's name holds two ids. */
function idFrom(prefix: string, bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += ALPHABET.charAt(byte & 31);
  return `${prefix}-${text}`;
}

const randomId = (prefix: string): string => idFrom(prefix, randomBytes(RANDOM_LENGTH));

const digest = (seed: readonly string[]): Buffer =>
  createHash('sha256').update(seed.join('\0')).digest();

const derivedId = (prefix: string, seed: readonly string[]): string =>
  idFrom(prefix, digest(seed).subarray(0, RANDOM_LENGTH));

/**
 * Ids that follow from an operation's id: a saga that is resumed names the same things again without having
 * had to write their names down first.
 */
export const deriveVolumeId = (...seed: readonly string[]): VolumeId =>
  derivedId('vol', seed) as VolumeId;
export const deriveReplicaId = (...seed: readonly string[]): ReplicaId =>
  derivedId('rep', seed) as ReplicaId;
export const deriveSnapshotId = (...seed: readonly string[]): SnapshotId =>
  derivedId('snap', seed) as SnapshotId;
export const deriveDiskId = (...seed: readonly string[]): DiskId =>
  derivedId('disk', seed) as DiskId;
export const deriveOperationId = (...seed: readonly string[]): OperationId =>
  derivedId('op', seed) as OperationId;

export const deriveOrphanId = (...seed: readonly string[]): OrphanId =>
  derivedId('orph', seed) as OrphanId;

export const deriveImageId = (...seed: readonly string[]): ImageId =>
  derivedId('img', seed) as ImageId;

/** A UUID of version 8 (RFC 9562): the bytes are ours. */
export function deriveUuid(...seed: readonly string[]): string {
  const bytes = digest(seed).subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}

export const newVolumeId = (): VolumeId => randomId('vol') as VolumeId;
export const newReplicaId = (): ReplicaId => randomId('rep') as ReplicaId;
export const newSnapshotId = (): SnapshotId => randomId('snap') as SnapshotId;
export const newDiskId = (): DiskId => randomId('disk') as DiskId;
export const newOperationId = (): OperationId => randomId('op') as OperationId;
export const newImageId = (): ImageId => randomId('img') as ImageId;
export const newInstanceId = (): string => randomId('inst');
export const newUuid = (): string => randomUUID();

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** RFC 1123 label: 1 to 63 of a-z, 0-9 and '-', not first or last. */
export function isDnsLabel(text: string): boolean {
  return DNS_LABEL.test(text);
}

const LARIAT_ID = /^(vol|rep|snap|disk|op|img)-[0-9a-hjkmnp-tv-z]{12}$/;

/** True for an id that Lariat made; used to tell `{volume: <name or id>}` apart. */
export function isLariatId(text: string): boolean {
  return LARIAT_ID.test(text);
}
