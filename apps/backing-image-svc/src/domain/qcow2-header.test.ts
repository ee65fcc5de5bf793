import { toLariatError } from '@lariat/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseQcow2Header, QCOW2_MAGIC, refuseUnfit } from './qcow2-header.js';

interface Fields {
  readonly version: number;
  readonly backingOffset: bigint;
  readonly backingLength: number;
  readonly clusterBits: number;
  readonly sizeBytes: bigint;
  readonly encryption: number;
  readonly l1Entries: number;
  readonly incompatible: bigint;
  readonly headerLength: number;
}

const GOOD: Fields = {
  version: 3,
  backingOffset: 0n,
  backingLength: 0,
  clusterBits: 16,
  sizeBytes: 1n << 30n,
  encryption: 0,
  l1Entries: 2,
  incompatible: 0n,
  headerLength: 104,
};

function headerOf(fields: Partial<Fields> = {}, name = ''): Buffer {
  const of = { ...GOOD, ...fields };
  const head = Buffer.alloc(512);
  QCOW2_MAGIC.copy(head);
  head.writeUInt32BE(of.version, 4);
  head.writeBigUInt64BE(of.backingOffset, 8);
  head.writeUInt32BE(of.backingLength, 16);
  head.writeUInt32BE(of.clusterBits, 20);
  head.writeBigUInt64BE(of.sizeBytes, 24);
  head.writeUInt32BE(of.encryption, 32);
  head.writeUInt32BE(of.l1Entries, 36);
  head.writeBigUInt64BE(of.incompatible, 72);
  head.writeUInt32BE(of.headerLength, 100);
  head.write(name, 200, 'latin1');
  return head;
}

const MAX_BYTES = 2 ** 40;

function verdict(head: Buffer): string {
  try {
    refuseUnfit(parseQcow2Header(head), MAX_BYTES);
    return 'fit';
  } catch (reason) {
    return toLariatError(reason).code;
  }
}

describe('a qcow2 header', () => {
  it.each([
    ['fit', {}],
    ['fit', { version: 2, incompatible: 0xffn }],
    ['fit', { clusterBits: 9 }],
    ['fit', { clusterBits: 21 }],
    // Dirty, another compression, subclusters: qemu-img reads these.
    ['fit', { incompatible: 0b11001n }],
    ['fit', { sizeBytes: BigInt(MAX_BYTES) }],
    ['IMAGE_TOO_LARGE', { sizeBytes: BigInt(MAX_BYTES) + 1n }],
    ['IMAGE_TOO_LARGE', { sizeBytes: (1n << 64n) - 1n }],
    ['IMAGE_EMPTY', { sizeBytes: 0n }],
    ['IMAGE_CORRUPT', { clusterBits: 8 }],
    ['IMAGE_CORRUPT', { clusterBits: 22 }],
    ['IMAGE_CORRUPT', { clusterBits: 0xffff_ffff }],
    ['IMAGE_CORRUPT', { l1Entries: 0xffff_ffff }],
    ['IMAGE_CORRUPT', { headerLength: 72 }],
    ['IMAGE_CORRUPT', { incompatible: 2n }],
    ['IMAGE_CORRUPT', { backingOffset: 200n, backingLength: 1024 }],
    ['IMAGE_BACKING_FILE', { backingOffset: 200n, backingLength: 4 }],
    ['IMAGE_BACKING_FILE', { backingOffset: 1n << 60n, backingLength: 4 }],
    ['IMAGE_ENCRYPTED', { encryption: 1 }],
    ['IMAGE_ENCRYPTED', { encryption: 2 }],
    ['IMAGE_ENCRYPTED', { version: 2, encryption: 1 }],
    ['IMAGE_DATA_FILE', { incompatible: 4n }],
    ['IMAGE_FORMAT_UNSUPPORTED', { incompatible: 1n << 63n }],
    ['IMAGE_FORMAT_UNSUPPORTED', { version: 1 }],
    ['IMAGE_FORMAT_UNSUPPORTED', { version: 4 }],
  ])('is %s with %o', (code, fields) => {
    expect(verdict(headerOf(fields))).toBe(code);
  });

  it('names the file that it needs, without what could drive a terminal', () => {
    const head = headerOf({ backingOffset: 200n, backingLength: 9 }, 'a\x1b[2Jb.img');
    expect(() => refuseUnfit(parseQcow2Header(head), MAX_BYTES)).toThrow("('a?[2Jb.im')");
  });

  it('has a size in whole sectors', () => {
    expect(parseQcow2Header(headerOf({ sizeBytes: 513n })).virtualSizeBytes).toBe(1024n);
  });

  it('cut off anywhere is refused', () => {
    const head = headerOf();
    for (let length = 0; length < 104; length += 1)
      expect(verdict(head.subarray(0, length))).toBe('IMAGE_CORRUPT');
  });

  it('of any bytes is refused with a code of its own, or is within all limits', () => {
    const anyHead = fc
      .tuple(fc.constantFrom(2, 3), fc.uint8Array({ minLength: 104, maxLength: 600 }))
      .map(([version, bytes]) => {
        const head = Buffer.from(bytes);
        QCOW2_MAGIC.copy(head);
        head.writeUInt32BE(version, 4);
        return head;
      });
    const outcome = fc.check(
      fc.property(anyHead, (head) => {
        const code = verdict(head);
        if (code !== 'fit') return code.startsWith('IMAGE_');
        const { backingFile, encryptionMethod, virtualSizeBytes } = parseQcow2Header(head);
        return backingFile === null && encryptionMethod === 0 && virtualSizeBytes <= MAX_BYTES;
      }),
      { numRuns: 2000 },
    );
    expect(outcome).toMatchObject({ failed: false, counterexample: null });
  });

  it('of random fields is fit only without any file but itself', () => {
    const anyFields = fc.record({
      version: fc.constantFrom(2, 3),
      backingOffset: fc.oneof(fc.constant(0n), fc.bigInt(0n, (1n << 64n) - 1n)),
      backingLength: fc.nat(2000),
      clusterBits: fc.nat(30),
      sizeBytes: fc.bigInt(0n, 1n << 41n),
      encryption: fc.nat(3),
      l1Entries: fc.nat(10_000_000),
      incompatible: fc.oneof(fc.constant(0n), fc.bigInt(0n, (1n << 64n) - 1n)),
      headerLength: fc.constantFrom(0, 72, 104, 112),
    });
    const outcome = fc.check(
      fc.property(anyFields, (fields) => {
        if (verdict(headerOf(fields)) !== 'fit') return true;
        const hasDataFile = fields.version === 3 && (fields.incompatible & 4n) !== 0n;
        return fields.backingOffset === 0n && fields.encryption === 0 && !hasDataFile;
      }),
      { numRuns: 2000 },
    );
    expect(outcome).toMatchObject({ failed: false, counterexample: null });
  });
});
