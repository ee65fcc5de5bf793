import { PduField, PduType } from './constants.js';

/** A whole PDU as the parser hands it out. */
export interface Pdu {
  readonly type: PduType;
  readonly flags: number;
  /** From the common header to the end of the type's header; without the digest. */
  readonly header: Buffer;
  readonly data: Buffer | undefined;
  /** False when a data digest was sent and does not match; that is not fatal to the connection. */
  readonly dataDigestValid: boolean;
}

export interface InitializeConnection {
  readonly format: number;
  /** HPDA or CPDA: 0's based count of dwords that PDU data is aligned to. */
  readonly alignment: number;
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  /** MAXR2T (0's based) of an ICReq; MAXH2CDATA (bytes) of an ICResp. */
  readonly limit: number;
}

/** Reads an ICReq or ICResp header; the two have one layout. */
export function readInitializeConnection(header: Buffer): InitializeConnection {
  const digest = header.readUInt8(PduField.icDigest);
  return {
    format: header.readUInt16LE(PduField.icFormat),
    alignment: header.readUInt8(PduField.icAlignment),
    headerDigest: (digest & 0x01) !== 0,
    dataDigest: (digest & 0x02) !== 0,
    limit: header.readUInt32LE(PduField.icLimit),
  };
}

/** H2CData, C2HData and R2T: which bytes of which command. `transferTag` is reserved in C2HData. */
export interface TransferHeader {
  readonly commandId: number;
  readonly transferTag: number;
  readonly offset: number;
  readonly length: number;
}

export function readTransferHeader(header: Buffer): TransferHeader {
  return {
    commandId: header.readUInt16LE(PduField.commandId),
    transferTag: header.readUInt16LE(PduField.transferTag),
    offset: header.readUInt32LE(PduField.transferOffset),
    length: header.readUInt32LE(PduField.transferLength),
  };
}

export interface Termination {
  readonly status: number;
  readonly information: number;
}

export function readTermination(header: Buffer): Termination {
  return {
    status: header.readUInt16LE(PduField.termStatus),
    information: header.readUInt32LE(PduField.termInfo),
  };
}

/** The submission or completion entry inside a capsule PDU. */
export function capsuleEntry(header: Buffer): Buffer {
  return header.subarray(PduField.capsule);
}

const PDU_TYPES: ReadonlySet<number> = new Set(Object.values(PduType));

export function isPduType(value: number): value is PduType {
  return PDU_TYPES.has(value);
}
