import type { NvmeStatus } from './status.js';

export const SQE_LENGTH = 64;
export const CQE_LENGTH = 16;

/** PSDT 01b: the data pointer is an SGL; fabrics allow nothing else. */
const FLAGS_SGL = 0x40;

export const SglType = Object.freeze({
  /** Data block with subtype offset: the data lies in the capsule. */
  inCapsule: 0x01,
  /** Transport data block with transport subtype A: the data is moved by the transport. */
  transport: 0x5a,
} as const);

const at = Object.freeze({
  opcode: 0,
  flags: 1,
  commandId: 2,
  nsid: 4,
  sgl: 24,
  cdw10: 40,
} as const);

export interface SglDescriptor {
  /** Type in bits 7:4, subtype in bits 3:0. */
  readonly type: number;
  readonly offset: number;
  readonly length: number;
}

export const readOpcode = (entry: Buffer): number => entry.readUInt8(at.opcode);
/** FUSE in bits 1:0, PSDT in bits 7:6. */
export const readFlags = (entry: Buffer): number => entry.readUInt8(at.flags);
export const readCommandId = (entry: Buffer): number => entry.readUInt16LE(at.commandId);
/** FCTYPE of a fabrics command lies where other commands have their NSID. */
export const readFabricsType = (entry: Buffer): number => entry.readUInt8(at.nsid);
export const readNsid = (entry: Buffer): number => entry.readUInt32LE(at.nsid);
/** `index` is 10 to 15. */
export const readCdw = (entry: Buffer, index: number): number => entry.readUInt32LE(index * 4);
/** Exact up to 2^53; larger values are out of every device's range either way. */
export const readU64 = (bytes: Buffer, offset: number): number =>
  bytes.readUInt32LE(offset) + bytes.readUInt32LE(offset + 4) * 0x1_0000_0000;
/** SLBA, CDW10 and 11. */
export const readStartingLba = (entry: Buffer): number => readU64(entry, at.cdw10);

export function readSgl(entry: Buffer): SglDescriptor {
  return {
    type: entry.readUInt8(at.sgl + 15),
    offset: readU64(entry, at.sgl),
    length: entry.readUInt32LE(at.sgl + 8),
  };
}

export function writeU64(bytes: Buffer, value: number, offset: number): void {
  bytes.writeUInt32LE(value % 0x1_0000_0000, offset);
  bytes.writeUInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4);
}

/** CDW 10 to 15, from the first; those left out are 0. */
export type CommandDwords = readonly number[];

export function makeCommand(opcode: number, nsid: number, dwords: CommandDwords = []): Buffer {
  const entry = Buffer.alloc(SQE_LENGTH);
  entry[at.opcode] = opcode;
  entry[at.flags] = FLAGS_SGL;
  entry.writeUInt32LE(nsid >>> 0, at.nsid);
  dwords.forEach((value, index) => entry.writeUInt32LE(value >>> 0, at.cdw10 + index * 4));
  return entry;
}

export function setCommandId(entry: Buffer, commandId: number): void {
  entry.writeUInt16LE(commandId, at.commandId);
}

export function setSgl(entry: Buffer, type: number, length: number): void {
  entry.fill(0, at.sgl, at.sgl + 16);
  entry.writeUInt32LE(length, at.sgl + 8);
  entry[at.sgl + 15] = type;
}

export interface Completion {
  readonly commandId: number;
  readonly status: NvmeStatus;
  readonly dword0: number;
  readonly dword1: number;
  readonly sqHead: number;
}

export function encodeCompletion(completion: Completion): Buffer {
  const entry = Buffer.allocUnsafe(CQE_LENGTH);
  entry.writeUInt32LE(completion.dword0 >>> 0, 0);
  entry.writeUInt32LE(completion.dword1 >>> 0, 4);
  entry.writeUInt16LE(completion.sqHead, 8);
  entry.writeUInt16LE(0, 10);
  entry.writeUInt16LE(completion.commandId, 12);
  // Bit 0 is the phase tag, reserved over fabrics.
  entry.writeUInt16LE((completion.status << 1) & 0xffff, 14);
  return entry;
}

export function readCompletion(entry: Buffer): Completion {
  return {
    dword0: entry.readUInt32LE(0),
    dword1: entry.readUInt32LE(4),
    sqHead: entry.readUInt16LE(8),
    commandId: entry.readUInt16LE(12),
    status: entry.readUInt16LE(14) >> 1,
  };
}
