import { readText, writeText } from './text.js';

export const IDENTIFY_LENGTH = 4096;

export const ControllerType = Object.freeze({ io: 1, discovery: 2 } as const);

/** ONCS bits. */
export const OptionalCommand = Object.freeze({
  compare: 0x01,
  datasetManagement: 0x04,
  writeZeroes: 0x08,
  reservations: 0x20,
  verify: 0x80,
} as const);

/** ANACAP: optimized, non-optimized, inaccessible, persistent loss and change states; fixed group ids. */
const ANA_CAPABILITIES = 0x5f;

export interface IdentifyController {
  readonly vendorId: number;
  readonly serial: string;
  readonly model: string;
  readonly firmware: string;
  readonly controllerId: number;
  readonly version: number;
  readonly type: number;
  /** 4 KiB shifted left by MDTS; undefined for no limit. */
  readonly maxTransferBytes: number | undefined;
  readonly anaReporting: boolean;
  readonly asyncEventLimit: number;
  /** In units of 100 ms; 0 when there is no keep alive. */
  readonly keepAliveGranularity: number;
  readonly maxNamespaces: number;
  readonly maxOutstandingCommands: number;
  readonly optionalCommands: number;
  readonly volatileWriteCache: boolean;
  readonly subsystemNqn: string;
  /** IOCCSZ: 64 for the entry, plus the in-capsule data. */
  readonly commandCapsuleBytes: number;
}

const PAGE_BYTES = 4096;

/** The Identify Controller data structure (CNS 01h). */
export function encodeIdentifyController(fields: IdentifyController): Buffer {
  const data = Buffer.alloc(IDENTIFY_LENGTH);
  const io = fields.type === ControllerType.io;
  data.writeUInt16LE(fields.vendorId, 0);
  data.writeUInt16LE(fields.vendorId, 2);
  writeText(data, fields.serial, 4, 20, ' ');
  writeText(data, fields.model, 24, 40, ' ');
  writeText(data, fields.firmware, 64, 8, ' ');
  // CMIC: several ports and controllers; bit 3 for ANA.
  data[76] = io ? 0x03 | (fields.anaReporting ? 0x08 : 0) : 0;
  data[77] =
    fields.maxTransferBytes === undefined ? 0 : Math.log2(fields.maxTransferBytes / PAGE_BYTES);
  data.writeUInt16LE(fields.controllerId, 78);
  data.writeUInt32LE(fields.version, 80);
  // OAES: namespace attribute, ANA change, discovery log change.
  data.writeUInt32LE(io ? 0x100 | (fields.anaReporting ? 0x800 : 0) : 0x8000_0000, 92);
  // CTRATT: 128-bit host identifiers; any command counts as a keep alive (TBKAS); RHII, as reservations need one.
  data.writeUInt32LE(0x1 | 0x40 | (io ? 1 << 18 : 0), 96);
  data[111] = fields.type;
  // ACL and AERL are 0's based. FRMW: one read-only slot.
  data[258] = io ? 3 : 0;
  data[259] = fields.asyncEventLimit - 1;
  data[260] = io ? 0x03 : 0;
  // LPA: command effects, and offsets in Get Log Page.
  data[261] = io ? 0x06 : 0x04;
  data.writeUInt16LE(0x0157, 266);
  data.writeUInt16LE(0x0175, 268);
  data.writeUInt16LE(fields.keepAliveGranularity, 320);
  data.writeUInt16LE(fields.maxOutstandingCommands, 514);
  // SGLS: supported without alignment, with offset addresses and transport data blocks.
  data.writeUInt32LE(0x1 | (1 << 20) | (1 << 21), 536);
  writeText(data, fields.subsystemNqn, 768, 256, '\0');
  if (!io) return data;
  data[512] = 0x66;
  data[513] = 0x44;
  data.writeUInt32LE(fields.maxNamespaces, 516);
  data.writeUInt16LE(fields.optionalCommands, 520);
  // VWC: present; a flush of all namespaces (NSID FFFFFFFFh) is not supported.
  data[525] = fields.volatileWriteCache ? 0x05 : 0x04;
  data.writeUInt32LE(fields.maxNamespaces, 540);
  if (fields.anaReporting) {
    data[342] = 10;
    data[343] = ANA_CAPABILITIES;
    data.writeUInt32LE(fields.maxNamespaces, 344);
    data.writeUInt32LE(fields.maxNamespaces, 348);
  }
  data.writeUInt32LE(fields.commandCapsuleBytes / 16, 1792);
  data.writeUInt32LE(1, 1796);
  // MSDBD: one SGL data block a command.
  data[1803] = 1;
  return data;
}

export function readIdentifyController(data: Buffer): IdentifyController {
  const mdts = data.readUInt8(77);
  return {
    vendorId: data.readUInt16LE(0),
    serial: readText(data, 4, 20),
    model: readText(data, 24, 40),
    firmware: readText(data, 64, 8),
    controllerId: data.readUInt16LE(78),
    version: data.readUInt32LE(80),
    type: data.readUInt8(111),
    maxTransferBytes: mdts === 0 ? undefined : PAGE_BYTES * 2 ** mdts,
    anaReporting: (data.readUInt8(76) & 0x08) !== 0,
    asyncEventLimit: data.readUInt8(259) + 1,
    keepAliveGranularity: data.readUInt16LE(320),
    maxNamespaces: data.readUInt32LE(516),
    maxOutstandingCommands: data.readUInt16LE(514),
    optionalCommands: data.readUInt16LE(520),
    volatileWriteCache: (data.readUInt8(525) & 1) !== 0,
    subsystemNqn: readText(data, 768, 256),
    commandCapsuleBytes: data.readUInt32LE(1792) * 16,
  };
}
