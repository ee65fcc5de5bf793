import { toLariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { detectCompression, detectFormat, type ImageFormat } from './image-format.js';
import { QCOW2_MAGIC } from './qcow2-header.js';

const QCOW2 = Buffer.concat([QCOW2_MAGIC, Buffer.alloc(508)]);
const ZEROS = Buffer.alloc(512);
const at = (offset: number, text: string): Buffer => {
  const head = Buffer.alloc(512);
  head.write(text, offset, 'latin1');
  return head;
};

function verdict(head: Buffer, asked: ImageFormat | null = null): string {
  try {
    return detectFormat(head, asked);
  } catch (reason) {
    return toLariatError(reason).code;
  }
}

describe('the format of an image', () => {
  it('is told by its content', () => {
    expect(verdict(QCOW2)).toBe('qcow2');
    expect(verdict(ZEROS)).toBe('raw');
    expect(verdict(Buffer.from([0x51]))).toBe('raw');
    expect(verdict(at(510, '\x55\xaa'))).toBe('raw');
  });

  it.each([
    ['KDMV', 0],
    ['# Disk DescriptorFile', 0],
    ['vhdxfile', 0],
    ['conectix', 0],
    ['\x7f\x10\xda\xbe', 64],
    ['QED\0', 0],
    ['BZh', 0],
    ['PK\x03\x04', 0],
    ['ustar', 257],
    ['LUKS\xba\xbe', 0],
    ['\x1f\x8b\x08', 0],
    ['<html>', 0],
    ['\n <!DOCTYPE HTML>', 0],
    ['<?xml version="1.0"?><Error>', 0],
  ])('is none that is known for %o at %i, unless the user says that it is raw', (text, offset) => {
    expect(verdict(at(offset, text))).toBe('IMAGE_FORMAT_UNSUPPORTED');
    expect(verdict(at(offset, text), 'raw')).toBe('raw');
  });

  it('is what the user says, or refused', () => {
    expect(verdict(QCOW2, 'qcow2')).toBe('qcow2');
    expect(verdict(QCOW2, 'raw')).toBe('IMAGE_FORMAT_MISMATCH');
    expect(verdict(ZEROS, 'qcow2')).toBe('IMAGE_FORMAT_MISMATCH');
  });
});

describe('what packs a file', () => {
  it.each([
    ['gzip', '\x1f\x8b\x08\x00'],
    ['xz', '\xfd7zXZ\0'],
    ['zstd', '\x28\xb5\x2f\xfd'],
  ])('is %s by its first bytes', (compression, text) => {
    const head = Buffer.from(text, 'latin1');
    expect(detectCompression(head)).toBe(compression);
    expect(detectCompression(head.subarray(0, 2))).toBeNull();
  });
});
