import type { Random } from './random.js';

/** What the fuzzers need to know of NVMe/TCP's PDUs, apart from the code that they test. */
export const PduType = {
  icReq: 0,
  icResp: 1,
  capsuleCmd: 4,
  capsuleResp: 5,
  h2cData: 6,
  c2hData: 7,
  r2t: 9,
} as const;

export const FABRICS_OPCODE = 0x7f;
const MAX_PDU_BYTES = 4 * 1024 * 1024;
const DIGEST_BYTES = 4;

export interface Digests {
  readonly header: boolean;
  readonly data: boolean;
}

/** The whole PDUs in a stream, by the lengths that they give, and what is left over. */
export function splitPdus(stream: Buffer): { readonly pdus: Buffer[]; readonly rest: Buffer } {
  const pdus: Buffer[] = [];
  let at = 0;
  while (stream.length - at >= 8) {
    const length = stream.readUInt32LE(at + 4);
    if (length < 8 || length > MAX_PDU_BYTES) throw new Error(`a PDU of ${length} bytes`);
    if (at + length > stream.length) break;
    pdus.push(stream.subarray(at, at + length));
    at += length;
  }
  return { pdus, rest: stream.subarray(at) };
}

/** Makes the digests of a changed PDU right again, as far as its lengths still make sense. */
export function sealPdu(pdu: Buffer, { header, data }: Digests): void {
  const type = pdu[0] ?? 0;
  if (type === PduType.icReq || type === PduType.icResp || pdu.length < 8) return;
  const headerLength = pdu.readUInt8(2);
  const dataOffset = pdu.readUInt8(3);
  if (header && headerLength + DIGEST_BYTES <= pdu.length) {
    pdu.writeUInt32LE(crc32c(pdu.subarray(0, headerLength)), headerLength);
  }
  const dataEnd = pdu.length - DIGEST_BYTES;
  if (data && dataOffset > 0 && dataOffset < dataEnd) {
    pdu.writeUInt32LE(crc32c(pdu.subarray(dataOffset, dataEnd)), dataEnd);
  }
}

/** Bit by bit, since it must not be the implementation that is tested. */
const CRC32C_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1)
    value = value & 1 ? (value >>> 1) ^ 0x82f6_3b78 : value >>> 1;
  return value;
});

function crc32c(bytes: Buffer): number {
  let value = 0xffff_ffff;
  for (const byte of bytes) value = (CRC32C_TABLE[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8);
  return (value ^ 0xffff_ffff) >>> 0;
}

/** Where a PDU's fields are: more likely to matter than its data. */
export function mutateHeader(pdu: Buffer, random: Random): Buffer {
  const changed = Buffer.from(pdu);
  const end = Math.min(changed.length, 80);
  const rounds = 1 + random.below(3);
  for (let round = 0; round < rounds; round += 1) {
    const at = random.below(end);
    if (random.chance(0.5)) changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
    else changed[at] = random.pick([0, 1, 2, 3, 7, 0x0f, 0x10, 0x40, 0x7f, 0x80, 0xfe, 0xff]);
  }
  return changed;
}
