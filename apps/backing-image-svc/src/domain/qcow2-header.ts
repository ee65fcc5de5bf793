import { lariatError } from '@lariat/contracts';
import { formatBytes } from '@lariat/kernel';

/** "QFI\xfb" */
export const QCOW2_MAGIC = Buffer.from([0x51, 0x46, 0x49, 0xfb]);

/** Where the fields stand: qemu docs/interop/qcow2.txt. All are big endian. */
const V2_HEADER_BYTES = 72;
const V3_HEADER_BYTES = 104;
const SECTOR_BYTES = 512n;
const MIN_CLUSTER_BITS = 9;
const MAX_CLUSTER_BITS = 21;
const L1_ENTRY_BYTES = 8;
/** qemu refuses larger L1 tables as well (QCOW_MAX_L1_SIZE). */
const MAX_L1_BYTES = 32 * 1024 * 1024;
const MAX_BACKING_NAME_BYTES = 1023;

const Incompatible = Object.freeze({
  dirty: 1n << 0n,
  corrupt: 1n << 1n,
  externalDataFile: 1n << 2n,
  compressionType: 1n << 3n,
  extendedL2: 1n << 4n,
});
const KNOWN_INCOMPATIBLE = Object.values(Incompatible).reduce((all, bit) => all | bit, 0n);

export const QcowEncryption = Object.freeze({ none: 0, aes: 1, luks: 2 } as const);

/** What a qcow2 file says of itself; nothing of it is to be believed before `refuseUnfit`. */
export interface Qcow2Header {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  /** A multiple of 512: qemu rounds up what is not. */
  readonly virtualSizeBytes: bigint;
  /** Null: none. Empty: there is one, and its name lies outside the bytes that were given. */
  readonly backingFile: string | null;
  readonly encryptionMethod: number;
  readonly incompatibleFeatures: bigint;
  /** Where the L1 table stands, whose entries lead to all others. */
  readonly l1OffsetBytes: bigint;
  readonly l1Bytes: number;
}

/** How many bytes from the start `parseQcow2Header` wants, where the file has them. */
export const QCOW2_HEAD_BYTES = 64 * 1024;

const corrupt = (message: string): Error =>
  lariatError('IMAGE_CORRUPT', `the image is not a valid qcow2 file: ${message}`);

/** The header of a qcow2 file from its first bytes. */
export function parseQcow2Header(head: Buffer): Qcow2Header {
  if (head.length < QCOW2_MAGIC.length || !head.subarray(0, 4).equals(QCOW2_MAGIC))
    throw corrupt('it does not begin with the magic number');
  if (head.length < V2_HEADER_BYTES) throw corrupt('it ends within its header');
  const version = head.readUInt32BE(4);
  if (version !== 2 && version !== 3) {
    throw lariatError(
      'IMAGE_FORMAT_UNSUPPORTED',
      `the image is of qcow version ${version}; convert it with 'qemu-img convert -O qcow2' to version 2 or 3`,
      { version },
    );
  }
  if (version === 3 && head.length < V3_HEADER_BYTES) throw corrupt('it ends within its header');
  const clusterBits = head.readUInt32BE(20);
  if (clusterBits < MIN_CLUSTER_BITS || clusterBits > MAX_CLUSTER_BITS)
    throw corrupt(`clusters of 2^${clusterBits} bytes`);
  if (version === 3 && head.readUInt32BE(100) < V3_HEADER_BYTES)
    throw corrupt(`a header of ${head.readUInt32BE(100)} bytes`);
  const l1Entries = head.readUInt32BE(36);
  if (l1Entries * L1_ENTRY_BYTES > MAX_L1_BYTES)
    throw corrupt(`an L1 table of ${l1Entries} entries`);
  return {
    version,
    clusterBits,
    virtualSizeBytes:
      ((head.readBigUInt64BE(24) + SECTOR_BYTES - 1n) / SECTOR_BYTES) * SECTOR_BYTES,
    backingFile: backingFileOf(head),
    encryptionMethod: head.readUInt32BE(32),
    incompatibleFeatures: version === 3 ? head.readBigUInt64BE(72) : 0n,
    l1OffsetBytes: head.readBigUInt64BE(40),
    l1Bytes: l1Entries * L1_ENTRY_BYTES,
  };
}

function backingFileOf(head: Buffer): string | null {
  const offset = head.readBigUInt64BE(8);
  const length = head.readUInt32BE(16);
  if (offset === 0n) return null;
  if (length > MAX_BACKING_NAME_BYTES) throw corrupt(`a backing file name of ${length} bytes`);
  if (offset + BigInt(length) > BigInt(head.length)) return '';
  const from = Number(offset);
  return head.toString('utf8', from, from + length);
}

/** Refuses what cannot be imported, or would have a tool open something other than the image. */
export function refuseUnfit(header: Qcow2Header, maxSizeBytes: number): void {
  const { backingFile, encryptionMethod, incompatibleFeatures, virtualSizeBytes } = header;
  if (backingFile !== null) {
    throw lariatError(
      'IMAGE_BACKING_FILE',
      `the image is a layer over another file${backingFile === '' ? '' : ` ('${printable(backingFile)}')`}; flatten it with 'qemu-img convert -O qcow2' first`,
    );
  }
  if (encryptionMethod !== QcowEncryption.none) {
    throw lariatError(
      'IMAGE_ENCRYPTED',
      `the image is encrypted (method ${encryptionMethod}); decrypt it with 'qemu-img convert' first`,
      { encryptionMethod },
    );
  }
  if ((incompatibleFeatures & Incompatible.externalDataFile) !== 0n) {
    throw lariatError(
      'IMAGE_DATA_FILE',
      "the image keeps its data in another file; put both into one with 'qemu-img convert -O qcow2' first",
    );
  }
  if ((incompatibleFeatures & Incompatible.corrupt) !== 0n)
    throw corrupt("it is marked as corrupt; look at it with 'qemu-img check'");
  const unknown = incompatibleFeatures & ~KNOWN_INCOMPATIBLE;
  if (unknown !== 0n) {
    throw lariatError(
      'IMAGE_FORMAT_UNSUPPORTED',
      `the image needs qcow2 features that are not known here (bits 0x${unknown.toString(16)}); convert it with 'qemu-img convert -O qcow2 -o compat=1.1'`,
    );
  }
  if (virtualSizeBytes === 0n)
    throw lariatError('IMAGE_EMPTY', 'the image has a virtual size of 0 bytes');
  if (virtualSizeBytes > BigInt(maxSizeBytes)) throw tooLarge(virtualSizeBytes, maxSizeBytes);
}

/** Bits 9 to 55 of an entry are where its L2 table stands; 0: there is none. */
const L1_OFFSET_MASK = 0x00ff_ffff_ffff_fe00n;

/**
 * Refuses entries of the L1 table that lead out of the file. Read past a file's end, a table is zeros, and all that it
 * told of would silently be holes: a truncated image that nobody marked as damaged.
 */
export function refuseLostTables(entries: Buffer, fileBytes: number): void {
  for (let at = 0; at + L1_ENTRY_BYTES <= entries.length; at += L1_ENTRY_BYTES)
    if ((entries.readBigUInt64BE(at) & L1_OFFSET_MASK) >= BigInt(fileBytes))
      throw lostTables(fileBytes);
}

export function lostTables(fileBytes: number): Error {
  return lariatError(
    'IMAGE_TRUNCATED',
    `the image's tables refer to places behind its end at ${fileBytes} bytes: a part of it is missing`,
  );
}

/** It was not closed, and its reference counts may be behind; what it holds is as good as ever. */
export const isDirty = ({ incompatibleFeatures }: Qcow2Header): boolean =>
  (incompatibleFeatures & Incompatible.dirty) !== 0n;

export function tooLarge(sizeBytes: bigint | number, maxSizeBytes: number): Error {
  return lariatError(
    'IMAGE_TOO_LARGE',
    `the image has ${sizeBytes} bytes, and at most ${maxSizeBytes} (${formatBytes(maxSizeBytes)}) are allowed`,
    { sizeBytes: String(sizeBytes), maxSizeBytes },
  );
}

/** Names in hostile files can hold control characters, which must not reach a terminal. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
}
