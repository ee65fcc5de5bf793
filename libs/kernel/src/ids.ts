import { randomBytes, randomUUID } from 'node:crypto';

declare const brand: unique symbol;
type Id<Kind extends string> = string & { readonly [brand]: Kind };

export type VolumeId = Id<'volume'>;
export type ReplicaId = Id<'replica'>;
export type SnapshotId = Id<'snapshot'>;
export type DiskId = Id<'disk'>;
export type OperationId = Id<'operation'>;
export type ImageId = Id<'image'>;
/** A node is known by the DNS label that its operator gave it. */
export type NodeName = Id<'node'>;

/** Crockford's base 32 in lower case: no i, l, o, u. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';
const RANDOM_LENGTH = 12;

/** Ids are short: SPDK allows names of 63 characters, and an lvol's name holds two ids. */
function randomId(prefix: string): string {
  let text = '';
  for (const byte of randomBytes(RANDOM_LENGTH)) text += ALPHABET.charAt(byte & 31);
  return `${prefix}-${text}`;
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
