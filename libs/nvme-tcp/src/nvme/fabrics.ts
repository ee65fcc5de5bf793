import { FABRICS_OPCODE, FabricsCommand } from './opcodes.js';
import { readU64, SQE_LENGTH } from './entry.js';
import { readText, writeText } from './text.js';

export const CONNECT_DATA_LENGTH = 1024;
/** CNTLID of an admin Connect that lets the controller choose. */
export const DYNAMIC_CONTROLLER_ID = 0xffff;
const NQN_FIELD_LENGTH = 256;

/** Offsets within the Connect command and data, as the IPO field of a rejection reports them. */
export const ConnectField = Object.freeze({
  recordFormat: 40,
  queueId: 42,
  queueSize: 44,
  attributes: 46,
  keepAliveTimeout: 48,
  hostId: 0,
  controllerId: 16,
  subsystemNqn: 256,
  hostNqn: 512,
} as const);

/** CATTR bit 2: the host asks for no submission queue flow control, which allows the SUCCESS flag. */
export const CONNECT_DISABLE_SQ_FLOW_CONTROL = 0x04;

export interface ConnectCommand {
  readonly recordFormat: number;
  readonly queueId: number;
  /** 0's based. */
  readonly queueSize: number;
  readonly attributes: number;
  readonly keepAliveTimeoutMs: number;
}

export interface ConnectData {
  /** 16 bytes. */
  readonly hostId: Buffer;
  readonly controllerId: number;
  readonly subsystemNqn: string;
  readonly hostNqn: string;
}

export function makeFabricsCommand(type: number): Buffer {
  const entry = Buffer.alloc(SQE_LENGTH);
  entry[0] = FABRICS_OPCODE;
  entry[1] = 0x40;
  entry[4] = type;
  return entry;
}

export function makeConnect(fields: ConnectCommand): Buffer {
  const entry = makeFabricsCommand(FabricsCommand.connect);
  entry.writeUInt16LE(fields.recordFormat, ConnectField.recordFormat);
  entry.writeUInt16LE(fields.queueId, ConnectField.queueId);
  entry.writeUInt16LE(fields.queueSize, ConnectField.queueSize);
  entry.writeUInt8(fields.attributes, ConnectField.attributes);
  entry.writeUInt32LE(fields.keepAliveTimeoutMs, ConnectField.keepAliveTimeout);
  return entry;
}

export function readConnect(entry: Buffer): ConnectCommand {
  return {
    recordFormat: entry.readUInt16LE(ConnectField.recordFormat),
    queueId: entry.readUInt16LE(ConnectField.queueId),
    queueSize: entry.readUInt16LE(ConnectField.queueSize),
    attributes: entry.readUInt8(ConnectField.attributes),
    keepAliveTimeoutMs: entry.readUInt32LE(ConnectField.keepAliveTimeout),
  };
}

export function encodeConnectData(fields: ConnectData): Buffer {
  const data = Buffer.alloc(CONNECT_DATA_LENGTH);
  fields.hostId.copy(data, ConnectField.hostId, 0, 16);
  data.writeUInt16LE(fields.controllerId, ConnectField.controllerId);
  writeText(data, fields.subsystemNqn, ConnectField.subsystemNqn, NQN_FIELD_LENGTH, '\0');
  writeText(data, fields.hostNqn, ConnectField.hostNqn, NQN_FIELD_LENGTH, '\0');
  return data;
}

export function readConnectData(data: Buffer): ConnectData {
  return {
    hostId: Buffer.from(data.subarray(ConnectField.hostId, 16)),
    controllerId: data.readUInt16LE(ConnectField.controllerId),
    subsystemNqn: readText(data, ConnectField.subsystemNqn, NQN_FIELD_LENGTH),
    hostNqn: readText(data, ConnectField.hostNqn, NQN_FIELD_LENGTH),
  };
}

/** Completion dword 0 of a Connect that is rejected for a parameter: IPO, and IATTR bit 0 for the data. */
export function invalidConnectParameter(where: 'command' | 'data', offset: number): number {
  return offset | (where === 'data' ? 1 << 16 : 0);
}

export function describeInvalidConnect(dword0: number): string {
  return `offset ${dword0 & 0xffff} of the Connect ${(dword0 & (1 << 16)) === 0 ? 'command' : 'data'}`;
}

export const Property = Object.freeze({
  capabilities: 0x00,
  version: 0x08,
  configuration: 0x14,
  status: 0x1c,
} as const);

export interface PropertyAccess {
  readonly offset: number;
  readonly sizeBytes: 4 | 8 | undefined;
  readonly value: number;
}

export function readPropertyAccess(entry: Buffer): PropertyAccess {
  const size = entry.readUInt8(40) & 0x07;
  return {
    offset: entry.readUInt32LE(44),
    sizeBytes: size === 0 ? 4 : size === 1 ? 8 : undefined,
    value: readU64(entry, 48),
  };
}

export function makePropertyGet(offset: number, sizeBytes: 4 | 8): Buffer {
  const entry = makeFabricsCommand(FabricsCommand.propertyGet);
  entry[40] = sizeBytes === 8 ? 1 : 0;
  entry.writeUInt32LE(offset, 44);
  return entry;
}

export function makePropertySet(offset: number, value: number): Buffer {
  const entry = makeFabricsCommand(FabricsCommand.propertySet);
  entry.writeUInt32LE(offset, 44);
  entry.writeUInt32LE(value >>> 0, 48);
  return entry;
}
