import { expect, test } from 'vitest';
import { identifyContent, LABEL_AREA_BYTES, lvolStoreUuidOf } from './media-content.js';

const blank = (): Uint8Array => new Uint8Array(LABEL_AREA_BYTES);

function withBytes(at: number, bytes: string): Uint8Array {
  const area = blank();
  area.set(Buffer.from(bytes, 'latin1'), at < 0 ? area.length + at : at);
  return area;
}

test('a disk is blank when both of its ends are zero', () => {
  expect(identifyContent({ first: blank(), last: blank() })).toEqual([]);
  expect(identifyContent({ first: new Uint8Array(0), last: new Uint8Array(0) })).toEqual([]);
});

test.each([0, 1, LABEL_AREA_BYTES / 2, LABEL_AREA_BYTES - 1])(
  'one byte at %i of either end is content',
  (at) => {
    const unknown = ['data of no known kind'];
    expect(identifyContent({ first: withBytes(at, '\x01'), last: blank() })).toEqual(unknown);
    expect(identifyContent({ first: blank(), last: withBytes(at, '\x01') })).toEqual(unknown);
  },
);

test.each([
  [0, 'LARIATLVSTORE', 'a Lariat lvol store'],
  [0, 'SPDKBLOB', 'an SPDK blobstore (an lvol store of SPDK)'],
  [0, 'bluestore block device\n', 'a Ceph BlueStore device'],
  [0, 'LUKS\xba\xbe', 'a LUKS encrypted device'],
  [0x4000, 'SKUL\xba\xbe', 'a LUKS encrypted device'],
  [512, 'LABELONE', 'an LVM physical volume'],
  [4096, '\xfc\x4e\x2b\xa9', 'a Linux RAID (md) member'],
  [128 * 1024, '\x0c\xb1\xba\x00\x00\x00\x00\x00', 'a ZFS member'],
  [200 * 1024, '\x00\x00\x00\x00\x00\xba\xb1\x0c', 'a ZFS member'],
  [0, 'QFI\xfb', 'a qcow2 image'],
  [0, 'KDMV', 'a VMDK image'],
  [0x10040, '_BHRfS_M', 'a btrfs file system'],
  [0, 'XFSB', 'an XFS file system'],
  [1080, '\x53\xef', 'an ext2, ext3 or ext4 file system'],
  [4086, 'SWAPSPACE2', 'a swap area'],
  [3, 'NTFS    ', 'an NTFS file system'],
  [82, 'FAT32   ', 'a FAT file system'],
  [0x8001, 'CD001', 'an ISO 9660 file system'],
  [512, 'EFI PART', 'a GPT partition table'],
  [510, '\x55\xaa', 'an MBR partition table or boot sector'],
])('at %i of the first MiB, %j is %s', (at, bytes, content) => {
  expect(identifyContent({ first: withBytes(at, bytes), last: blank() })).toEqual([content]);
});

test.each([
  [-8192, '\xfc\x4e\x2b\xa9', 'a Linux RAID (md) member'],
  [-512, 'EFI PART', 'the backup of a GPT partition table'],
  [-512, 'conectix', 'a VHD image'],
])('at %i of the last MiB, %j is %s', (at, bytes, content) => {
  expect(identifyContent({ first: blank(), last: withBytes(at, bytes) })).toEqual([content]);
});

test('all that is recognised is named, once each', () => {
  const first = withBytes(512, 'EFI PART');
  first.set([0x55, 0xaa], 510);
  first.set(Buffer.from('EFI PART'), 4096);
  expect(identifyContent({ first, last: withBytes(-512, 'EFI PART') })).toEqual([
    'a GPT partition table',
    'the backup of a GPT partition table',
    'an MBR partition table or boot sector',
  ]);
});

test('ends shorter than a signature are looked at as far as they go', () => {
  const short = Uint8Array.from(Buffer.from('QFI'));
  expect(identifyContent({ first: short, last: short })).toEqual(['data of no known kind']);
});

test('the label of a Lariat lvol store tells its uuid, and no other content does', () => {
  const uuid = '0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0ff';
  const label = withBytes(0, 'LARIATLVSTORE');
  label.set(Buffer.from(uuid.replaceAll('-', ''), 'hex'), 24);
  expect(lvolStoreUuidOf(label)).toBe(uuid);
  expect(lvolStoreUuidOf(withBytes(512, 'EFI PART'))).toBeUndefined();
  expect(lvolStoreUuidOf(label.subarray(0, 30))).toBeUndefined();
});
