import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { COMMON_HEADER_LENGTH, FatalErrorStatus, PduType } from './constants.js';
import { crc32cOf } from './digest.js';
import { PduEncoder } from './pdu-encoder.js';
import { PduError } from './pdu-error.js';
import { PduParser } from './pdu-parser.js';
import { controllerRules, HOST_RULES, type PduRules } from './pdu-rules.js';
import { type Pdu, readInitializeConnection, readTermination, readTransferHeader } from './pdu.js';

const CONTROLLER_RULES = controllerRules(8192, 131_072);

interface Wire {
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  readonly alignment: number;
}

const WIRES: readonly Wire[] = [
  { headerDigest: false, dataDigest: false, alignment: 0 },
  { headerDigest: true, dataDigest: false, alignment: 0 },
  { headerDigest: false, dataDigest: true, alignment: 3 },
  { headerDigest: true, dataDigest: true, alignment: 31 },
];

function encoded(wire: Wire, write: (encoder: PduEncoder) => void): Buffer {
  const parts: Buffer[] = [];
  const encoder = new PduEncoder((bytes) => void parts.push(bytes));
  encoder.configure(wire.headerDigest, wire.dataDigest, wire.alignment);
  write(encoder);
  return Buffer.concat(parts);
}

function parse(
  wire: Wire,
  rules: PduRules,
  chunks: readonly Buffer[],
  placed = false,
): readonly Pdu[] {
  const pdus: Pdu[] = [];
  const parser = new PduParser(rules, {
    place: (_type, _header, length) => (placed ? Buffer.alloc(length) : undefined),
    receive: (pdu) => void pdus.push(pdu),
  });
  parser.enableDigests(wire.headerDigest, wire.dataDigest);
  for (const chunk of chunks) parser.push(chunk);
  return pdus;
}

/** Comparable, and free of the memory it was parsed from. */
function plain(pdu: Pdu): object {
  return { ...pdu, header: pdu.header.toString('hex'), data: pdu.data?.toString('hex') };
}

const entry = Buffer.from(Array.from({ length: 64 }, (_, index) => index));
const completion = Buffer.from(Array.from({ length: 16 }, (_, index) => 200 + index));
const data = Buffer.from(Array.from({ length: 300 }, (_, index) => (index * 7) & 0xff));

function hostStream(encoder: PduEncoder): void {
  encoder.capsuleCommand(entry);
  encoder.capsuleCommand(entry, data);
  encoder.hostToControllerData(7, 9, 128, data, true);
  encoder.capsuleCommand(entry);
  encoder.terminate(
    PduType.h2cTermReq,
    new PduError(FatalErrorStatus.headerDigestError, 0, 'x', data.subarray(0, 24)),
  );
}

function controllerStream(encoder: PduEncoder): void {
  encoder.capsuleResponse(completion);
  encoder.readyToTransfer(3, 4, 4096, 8192);
  encoder.controllerToHostData(5, 512, data, true, true);
  encoder.capsuleResponse(completion);
}

function thrownBy(work: () => void): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
}

describe('crc32c', () => {
  it('gives the values of RFC 3720 appendix B.4', () => {
    expect(crc32cOf(Buffer.alloc(32))).toBe(0x8a9136aa);
    expect(crc32cOf(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
    expect(crc32cOf(Buffer.from(Array.from({ length: 32 }, (_, index) => index)))).toBe(0x46dd794e);
    expect(crc32cOf(Buffer.from(Array.from({ length: 32 }, (_, index) => 31 - index)))).toBe(
      0x113fdb5c,
    );
  });
});

describe('PDU codec', () => {
  it('lays out ICReq as the specification says', () => {
    const bytes = encoded({ headerDigest: false, dataDigest: false, alignment: 0 }, (encoder) =>
      encoder.initializeConnection(PduType.icReq, {
        format: 0,
        alignment: 5,
        headerDigest: true,
        dataDigest: true,
        limit: 3,
      }),
    );
    expect(bytes.length).toBe(128);
    expect(bytes.subarray(0, 16).toString('hex')).toBe('00008000800000000000050303000000');
    expect(bytes.subarray(16).every((byte) => byte === 0)).toBe(true);
    const [pdu] = parse(
      WIRES[3] ?? { headerDigest: true, dataDigest: true, alignment: 0 },
      CONTROLLER_RULES,
      [bytes],
    );
    expect(pdu && readInitializeConnection(pdu.header)).toEqual({
      format: 0,
      alignment: 5,
      headerDigest: true,
      dataDigest: true,
      limit: 3,
    });
  });

  it('puts digests and padding where the specification says', () => {
    const bytes = encoded({ headerDigest: true, dataDigest: true, alignment: 3 }, (encoder) =>
      encoder.controllerToHostData(0x1234, 0, data, true, true),
    );
    // 24 header + 4 digest = 28, padded to 32; flags HDGSTF, DDGSTF, LAST_PDU and SUCCESS.
    expect(bytes.subarray(0, 8).toString('hex')).toBe('070f182050010000');
    expect(bytes.length).toBe(32 + 300 + 4);
    expect(bytes.readUInt32LE(24)).toBe(crc32cOf(bytes.subarray(0, 24)));
    expect(bytes.readUInt32LE(332)).toBe(crc32cOf(data));
    expect(bytes.readUInt16LE(8)).toBe(0x1234);
    expect(bytes.readUInt32LE(16)).toBe(300);
  });

  it.each(WIRES)('reads back what it wrote, split in two at every byte (%o)', (wire) => {
    for (const [rules, write, count] of [
      [CONTROLLER_RULES, hostStream, 5],
      [HOST_RULES, controllerStream, 4],
    ] as const) {
      const bytes = encoded(wire, write);
      const whole = parse(wire, rules, [bytes]).map(plain);
      expect(whole).toHaveLength(count);
      for (const placed of [false, true]) {
        for (let at = 0; at <= bytes.length; at += 1) {
          const pdus = parse(wire, rules, [bytes.subarray(0, at), bytes.subarray(at)], placed);
          expect(pdus.map(plain)).toEqual(whole);
        }
      }
    }
  });

  it.each(WIRES)('reads back what it wrote, byte by byte (%o)', (wire) => {
    const bytes = encoded(wire, hostStream);
    const pdus = parse(
      wire,
      CONTROLLER_RULES,
      Array.from(bytes, (byte) => Buffer.of(byte)),
    );
    expect(pdus.map(plain)).toEqual(parse(wire, CONTROLLER_RULES, [bytes]).map(plain));
    expect(pdus.map((pdu) => pdu.type)).toEqual([
      PduType.capsuleCmd,
      PduType.capsuleCmd,
      PduType.h2cData,
      PduType.capsuleCmd,
      PduType.h2cTermReq,
    ]);
    expect(pdus[1]?.data?.equals(data)).toBe(true);
    expect(pdus[2] && readTransferHeader(pdus[2].header)).toEqual({
      commandId: 7,
      transferTag: 9,
      offset: 128,
      length: 300,
    });
    expect(pdus[4] && readTermination(pdus[4].header)).toEqual({ status: 3, information: 0 });
    expect(pdus.every((pdu) => pdu.dataDigestValid)).toBe(true);
  });

  it('reports a wrong data digest without an error, and reads on', () => {
    const wire: Wire = { headerDigest: true, dataDigest: true, alignment: 0 };
    const bytes = encoded(wire, hostStream);
    const second = 76;
    const broken = second + 76 + 10;
    bytes.writeUInt8(bytes.readUInt8(broken) ^ 0x10, broken);
    expect(parse(wire, CONTROLLER_RULES, [bytes]).map((pdu) => pdu.dataDigestValid)).toEqual([
      true,
      false,
      true,
      true,
      true,
    ]);
  });

  it('refuses a wrong header digest', () => {
    const wire: Wire = { headerDigest: true, dataDigest: false, alignment: 0 };
    const bytes = encoded(wire, (encoder) => encoder.capsuleCommand(entry));
    bytes.writeUInt8(0xff, 30);
    expect(() => parse(wire, CONTROLLER_RULES, [bytes])).toThrow(
      expect.objectContaining({ name: 'PduError', status: FatalErrorStatus.headerDigestError }),
    );
  });

  it.each([
    ['a type that a controller does not receive', 0, 0x07, FatalErrorStatus.invalidHeaderField, 0],
    ['an unknown type', 0, 0x55, FatalErrorStatus.invalidHeaderField, 0],
    ['a wrong header length', 2, 71, FatalErrorStatus.invalidHeaderField, 2],
    ['a data offset within the header', 3, 20, FatalErrorStatus.invalidHeaderField, 3],
    ['a PDU length shorter than the header', 4, 40, FatalErrorStatus.invalidHeaderField, 4],
    ['more in-capsule data than allowed', 6, 1, FatalErrorStatus.invalidHeaderField, 4],
  ])('refuses %s', (_what, offset, value, status, information) => {
    const wire: Wire = { headerDigest: false, dataDigest: false, alignment: 0 };
    const bytes = encoded(wire, (encoder) => encoder.capsuleCommand(entry, Buffer.alloc(100)));
    bytes.writeUInt8(value, offset);
    if (offset === 4) bytes.writeUInt8(0, 5);
    expect(() => parse(wire, CONTROLLER_RULES, [bytes])).toThrow(
      expect.objectContaining({ status, information }),
    );
  });

  it('copies large data once, into the place it is given', () => {
    const wire: Wire = { headerDigest: false, dataDigest: false, alignment: 0 };
    const large = Buffer.alloc(1 << 20, 0xab);
    const bytes = encoded(wire, (encoder) =>
      encoder.controllerToHostData(1, 0, large, true, false),
    );
    const place = Buffer.alloc(large.length);
    const received: Pdu[] = [];
    const parser = new PduParser(HOST_RULES, {
      place: () => place,
      receive: (pdu) => void received.push(pdu),
    });
    for (let at = 0; at < bytes.length; at += 1000) parser.push(bytes.subarray(at, at + 1000));
    expect(received[0]?.data).toBe(place);
    expect(place.equals(large)).toBe(true);
  });

  it('throws nothing but PduError on random input, and ignores what follows', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, digests) => {
        const pdus: Pdu[] = [];
        const parser = new PduParser(CONTROLLER_RULES, {
          place: () => undefined,
          receive: (pdu) => void pdus.push(pdu),
        });
        parser.enableDigests(digests, digests);
        const error = thrownBy(() => parser.push(Buffer.from(bytes)));
        const before = pdus.length;
        const refused = error instanceof PduError;
        // Without an error, it must have been too short for a header, or have begun with a valid one.
        const credible =
          bytes.length < COMMON_HEADER_LENGTH ||
          CONTROLLER_RULES.has((bytes[0] ?? 0xff) as PduType);
        expect(refused || (error === undefined && credible)).toBe(true);
        const wire = { headerDigest: digests, dataDigest: digests, alignment: 0 };
        const later = thrownBy(() => parser.push(encoded(wire, hostStream)));
        expect(!refused || (later === undefined && pdus.length === before)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
