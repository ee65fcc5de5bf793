/** What the beginning of a device was read to hold. `unknown`: it could not be read, and nothing follows from that. */
export type Probe =
  | { readonly kind: 'present'; readonly fsType: string | null; readonly uuid: string | null }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unknown'; readonly why: string };

/** As far as the superblocks and headers reach that are looked for. */
export const PROBED_BYTES = 128 * 1024;

const ZEROS = Buffer.alloc(PROBED_BYTES);
const EXT_OFFSET = 1024;
const EXT_MAGIC = 0xef53;
const XFS_MAGIC = 'XFSB';
const LUKS_MAGIC = 'LUKS\xba\xbe';
/** Of both versions of the header; as text. */
const LUKS_UUID = { from: 168, to: 168 + 36 };

/**
 * Absent means that all of it reads as zeros: what was never written does (invariant 10). Anything else that is not known is
 * present without a type: somebody's data, for all that can be told.
 */
export function probeOf(head: Uint8Array): Probe {
  if (head.length < PROBED_BYTES)
    return { kind: 'unknown', why: `only ${head.length} bytes could be read` };
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.length);
  if (bytes.toString('latin1', 0, XFS_MAGIC.length) === XFS_MAGIC)
    return { kind: 'present', fsType: 'xfs', uuid: uuidAt(bytes, 32) };
  if (bytes.readUInt16LE(EXT_OFFSET + 0x38) === EXT_MAGIC)
    return { kind: 'present', fsType: extTypeOf(bytes), uuid: uuidAt(bytes, EXT_OFFSET + 0x68) };
  if (bytes.toString('latin1', 0, LUKS_MAGIC.length) === LUKS_MAGIC)
    return {
      ...{ kind: 'present', fsType: 'crypto_LUKS' },
      uuid: bytes.toString('latin1', LUKS_UUID.from, LUKS_UUID.to),
    };
  if (ZEROS.equals(bytes.subarray(0, PROBED_BYTES))) return { kind: 'absent' };
  return { kind: 'present', fsType: null, uuid: null };
}

/** Extents, 64 bits, flexible groups: no older file system of the family has one of them. */
function extTypeOf(bytes: Buffer): string {
  const incompatible = bytes.readUInt32LE(EXT_OFFSET + 0x60);
  const EXT4_ONLY = 0x40 | 0x80 | 0x200;
  return (incompatible & EXT4_ONLY) === 0 ? 'ext3' : 'ext4';
}

function uuidAt(bytes: Buffer, offset: number): string {
  const hex = bytes.toString('hex', offset, offset + 16);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
