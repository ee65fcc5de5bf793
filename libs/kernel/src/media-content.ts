import { MIB } from './units.js';

/** Partition tables, file systems, RAID and LVM labels all leave marks in the first or the last MiB of a disk. */
export const LABEL_AREA_BYTES = MIB;

/** The two ends of a disk or file: up to LABEL_AREA_BYTES each, overlapping when it is small. */
export interface LabelAreas {
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

interface Signature {
  readonly content: string;
  readonly area: keyof LabelAreas;
  /** Any of these places, from the start of the area; negative: from the end of the disk. */
  readonly atBytes: readonly number[];
  readonly bytes: Uint8Array;
}

/** 128 to 255 KiB into the label: the uberblocks of ZFS, 1 KiB apart (vdev_impl.h). */
const ZFS_UBERBLOCKS = Array.from({ length: 128 }, (_, index) => (128 + index) * 1024);
const SWAP_PAGE_BYTES = [4096, 8192, 16_384, 65_536];

/** The magic numbers of libblkid's probes, QEMU's block drivers and SPDK, those of containers before what they hold. */
const SIGNATURES: readonly Signature[] = [
  first('a Lariat lvol store', 0, 'LARIATLVSTORE'),
  first('an SPDK blobstore (an lvol store of SPDK)', 0, 'SPDKBLOB'),
  first('an SPDK raid superblock', 0, 'SPDKRAID'),
  first('a Ceph BlueStore device', 0, 'bluestore block device'),
  first('a LUKS encrypted device', 0, hex('4c554b53babe')),
  first('a LUKS encrypted device', [0x4000, 0x8000, 0x10000, 0x20000], hex('534b554cbabe')),
  first('an LVM physical volume', [0, 512, 1024, 1536], 'LABELONE'),
  first('a Linux RAID (md) member', [0, 4096], hex('fc4e2ba9')),
  last('a Linux RAID (md) member', [-8192, -65_536], hex('fc4e2ba9')),
  first('a ZFS member', ZFS_UBERBLOCKS, hex('0cb1ba0000000000')),
  first('a ZFS member', ZFS_UBERBLOCKS, hex('0000000000bab10c')),
  first('a bcache or bcachefs device', 4096 + 24, hex('c68573f64e1a45ca8265f57f48ba6d81')),
  first('a bcache or bcachefs device', 4096 + 24, hex('c68573f666ce90a9d96a60cf803df7ef')),
  first('a qcow2 image', 0, hex('514649fb')),
  first('a VMDK image', 0, 'KDMV'),
  first('a VHDX image', 0, 'vhdxfile'),
  last('a VHD image', -512, 'conectix'),
  first('a VDI image', 0x40, hex('7f10dabe')),
  first('a btrfs file system', 0x10040, '_BHRfS_M'),
  first('an XFS file system', 0, 'XFSB'),
  first('an ext2, ext3 or ext4 file system', 1080, hex('53ef')),
  first('an F2FS file system', 1024, hex('1020f5f2')),
  first('an EROFS file system', 1024, hex('e2e1f5e0')),
  first('a squashfs file system', 0, 'hsqs'),
  first('a JFS file system', 0x8000, 'JFS1'),
  first('a ReiserFS file system', [0x2034, 0x10034], 'ReIsEr'),
  first(
    'a swap area',
    SWAP_PAGE_BYTES.map((size) => size - 10),
    'SWAPSPACE2',
  ),
  first('an NTFS file system', 3, 'NTFS    '),
  first('an exFAT file system', 3, 'EXFAT   '),
  first('a FAT file system', 54, 'FAT1'),
  first('a FAT file system', 82, 'FAT32   '),
  first('an ISO 9660 file system', 0x8001, 'CD001'),
  first('a UDF file system', 0x8001, 'BEA01'),
  first('a GPT partition table', [512, 4096], 'EFI PART'),
  last('the backup of a GPT partition table', [-512, -4096], 'EFI PART'),
  first('an MBR partition table or boot sector', 510, hex('55aa')),
];

/**
 * What the ends of a disk show that it holds, e.g. `['a GPT partition table']`; `['data of no known kind']` when they are
 * not all zero and nothing is recognised; empty for a blank disk. Names are for people: a disk is blank, or it is not.
 */
export function identifyContent(areas: LabelAreas): readonly string[] {
  if (isZero(areas.first) && isZero(areas.last)) return [];
  const found = new Set(
    SIGNATURES.filter((signature) => matches(signature, areas)).map(({ content }) => content),
  );
  return found.size > 0 ? [...found] : ['data of no known kind'];
}

/** Where a Lariat lvol store has its uuid, behind its mark. */
const LARIAT_STORE = { mark: 'LARIATLVSTORE', uuidAtBytes: 24, uuidBytes: 16 } as const;

/** The uuid of the Lariat lvol store that the first bytes of a disk are of; undefined when they are not. */
export function lvolStoreUuidOf(first: Uint8Array): string | undefined {
  const { mark, uuidAtBytes, uuidBytes } = LARIAT_STORE;
  const magic = new TextEncoder().encode(mark);
  if (first.length < uuidAtBytes + uuidBytes) return undefined;
  if (!magic.every((byte, index) => first[index] === byte)) return undefined;
  const bytes = Array.from(first.subarray(uuidAtBytes, uuidAtBytes + uuidBytes));
  const text = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const groups = [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20)];
  return [...groups, text.slice(20)].join('-');
}

function matches({ area, atBytes, bytes }: Signature, areas: LabelAreas): boolean {
  const data = areas[area];
  return atBytes.some((at) => {
    const start = at < 0 ? data.length + at : at;
    if (start < 0 || start + bytes.length > data.length) return false;
    return bytes.every((byte, index) => data[start + index] === byte);
  });
}

function isZero(data: Uint8Array): boolean {
  return data.every((byte) => byte === 0);
}

function first(
  content: string,
  at: number | readonly number[],
  bytes: string | Uint8Array,
): Signature {
  return signature('first', content, at, bytes);
}

function last(
  content: string,
  at: number | readonly number[],
  bytes: string | Uint8Array,
): Signature {
  return signature('last', content, at, bytes);
}

function signature(
  area: keyof LabelAreas,
  content: string,
  at: number | readonly number[],
  bytes: string | Uint8Array,
): Signature {
  return {
    content,
    area,
    atBytes: typeof at === 'number' ? [at] : at,
    bytes: typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes,
  };
}

function hex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
