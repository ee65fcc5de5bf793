import { lariatError } from '@lariat/contracts';
import { QCOW2_MAGIC } from './qcow2-header.js';

export const Compression = Object.freeze({ gzip: 'gzip', xz: 'xz', zstd: 'zstd' } as const);
export type Compression = (typeof Compression)[keyof typeof Compression];

export const ImageFormat = Object.freeze({ raw: 'raw', qcow2: 'qcow2' } as const);
export type ImageFormat = (typeof ImageFormat)[keyof typeof ImageFormat];

interface Signature {
  readonly offsetBytes: number;
  readonly bytes: Buffer;
}

const at = (offsetBytes: number, bytes: string | readonly number[]): Signature => ({
  offsetBytes,
  bytes: typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Buffer.from(bytes),
});

const COMPRESSIONS: readonly (readonly [Compression, Signature])[] = [
  // The third byte is the method: 8, deflate, is the only one there is (RFC 1952).
  [Compression.gzip, at(0, [0x1f, 0x8b, 0x08])],
  [Compression.xz, at(0, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  [Compression.zstd, at(0, [0x28, 0xb5, 0x2f, 0xfd])],
];

/** Not a disk's content as it stands, so that nobody meets them as a volume that does not boot. */
const UNSUPPORTED: readonly (readonly [string, Signature])[] = [
  ['a VMDK image', at(0, 'KDMV')],
  ['a VMDK descriptor', at(0, '# Disk DescriptorFile')],
  ['a VHD image', at(0, 'conectix')],
  ['a VHDX image', at(0, 'vhdxfile')],
  ['a VDI image', at(0x40, [0x7f, 0x10, 0xda, 0xbe])],
  ['a QED image', at(0, 'QED\0')],
  ['a Parallels image', at(0, 'WithoutFreeSpace')],
  ['a Parallels image', at(0, 'WithouFreSpacExt')],
  ['a LUKS container', at(0, 'LUKS\xba\xbe')],
  ['compressed by bzip2', at(0, 'BZh')],
  ['compressed by lz4', at(0, [0x04, 0x22, 0x4d, 0x18])],
  ['a zip archive', at(0, 'PK\x03\x04')],
  ['a 7z archive', at(0, [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c])],
  ['a tar archive', at(0x101, 'ustar')],
];

/** As many first bytes as the functions here look at. */
export const FORMAT_HEAD_BYTES = 512;

const has = (head: Buffer, { offsetBytes, bytes }: Signature): boolean =>
  head.subarray(offsetBytes, offsetBytes + bytes.length).equals(bytes);

/** What a file is packed with, by its first bytes. */
export function detectCompression(head: Buffer): Compression | null {
  return COMPRESSIONS.find(([, signature]) => has(head, signature))?.[0] ?? null;
}

/**
 * The format of an image, by the first bytes of what is left after unpacking. `asked` is what the user says it is:
 * a contradiction is refused, and `raw` takes what would otherwise be refused as a foreign format.
 */
export function detectFormat(head: Buffer, asked: ImageFormat | null): ImageFormat {
  const isQcow = head.subarray(0, QCOW2_MAGIC.length).equals(QCOW2_MAGIC);
  const found = isQcow ? ImageFormat.qcow2 : ImageFormat.raw;
  if (asked !== null && asked !== found) {
    throw lariatError(
      'IMAGE_FORMAT_MISMATCH',
      asked === ImageFormat.raw
        ? 'the image was said to be raw, and its content is qcow2; leave the format out, or say qcow2'
        : 'the image was said to be qcow2, and its content is not; leave the format out, or check the source',
      { asked, found },
    );
  }
  if (found === ImageFormat.raw && asked === null) refuseForeign(head);
  return found;
}

function refuseForeign(head: Buffer): void {
  const compression = detectCompression(head);
  const name =
    compression === null
      ? UNSUPPORTED.find(([, signature]) => has(head, signature))?.[0]
      : `packed twice (${compression} inside)`;
  if (name !== undefined) {
    throw lariatError(
      'IMAGE_FORMAT_UNSUPPORTED',
      `the image is ${name}; give it as raw or qcow2, plain or packed once with gzip, xz or zstd`,
    );
  }
  if (/^\s*<(!doctype html|html|\?xml)/i.test(head.toString('latin1', 0, 64))) {
    throw lariatError(
      'IMAGE_FORMAT_UNSUPPORTED',
      'the source is a web page or an XML document, not an image; check the address',
    );
  }
}
