import { readU64, writeU64 } from './entry.js';
import { IDENTIFY_LENGTH } from './identify-controller.js';

export const IdentifyCns = Object.freeze({
  namespace: 0x00,
  controller: 0x01,
  activeNamespaces: 0x02,
  namespaceDescriptors: 0x03,
  commandSetNamespace: 0x05,
  commandSetController: 0x06,
  activeNamespacesOfCommandSet: 0x07,
  commandSetIndependentNamespace: 0x08,
} as const);

/** CSI 00h; no other command set is spoken. */
export const NVM_COMMAND_SET = 0;

export interface IdentifyNamespace {
  readonly sizeBlocks: number;
  readonly blockSizeBytes: number;
  readonly anaGroupId: number;
  /** 16 bytes, zeros for none. */
  readonly nguid: Buffer;
  /** RESCAP. */
  readonly reservationCapabilities: number;
}

/** DLFEAT: deallocated blocks read as zeros, and Write Zeroes takes DEAC. */
const DEALLOCATE_FEATURES = 0x01 | 0x08;

/** The Identify Namespace data structure (CNS 00h): one LBA format without metadata, shared between controllers. */
export function encodeIdentifyNamespace(fields: IdentifyNamespace): Buffer {
  const data = Buffer.alloc(IDENTIFY_LENGTH);
  writeU64(data, fields.sizeBlocks, 0);
  writeU64(data, fields.sizeBlocks, 8);
  writeU64(data, fields.sizeBlocks, 16);
  data[30] = 0x01;
  data[31] = fields.reservationCapabilities;
  data[33] = DEALLOCATE_FEATURES;
  data.writeUInt32LE(fields.anaGroupId, 92);
  fields.nguid.copy(data, 104, 0, 16);
  data[130] = Math.log2(fields.blockSizeBytes);
  return data;
}

export function readIdentifyNamespace(data: Buffer): IdentifyNamespace {
  const format = data.readUInt8(26) & 0x0f;
  return {
    sizeBlocks: readU64(data, 0),
    blockSizeBytes: 2 ** data.readUInt8(128 + format * 4 + 2),
    anaGroupId: data.readUInt32LE(92),
    nguid: Buffer.from(data.subarray(104, 120)),
    reservationCapabilities: data.readUInt8(31),
  };
}

/** I/O command set independent structure (CNS 08h). */
export function encodeIndependentNamespace(
  anaGroupId: number,
  reservationCapabilities: number,
): Buffer {
  const data = Buffer.alloc(IDENTIFY_LENGTH);
  data[1] = 0x01;
  data[2] = reservationCapabilities;
  data.writeUInt32LE(anaGroupId, 4);
  data[14] = 0x01;
  return data;
}

export function encodeNamespaceList(nsids: readonly number[]): Buffer {
  const data = Buffer.alloc(IDENTIFY_LENGTH);
  nsids.slice(0, IDENTIFY_LENGTH / 4).forEach((nsid, index) => data.writeUInt32LE(nsid, index * 4));
  return data;
}

export function readNamespaceList(data: Buffer): readonly number[] {
  const nsids: number[] = [];
  for (let offset = 0; offset + 4 <= data.length; offset += 4) {
    const nsid = data.readUInt32LE(offset);
    if (nsid === 0) break;
    nsids.push(nsid);
  }
  return nsids;
}

const DescriptorType = Object.freeze({ eui64: 1, nguid: 2, uuid: 3, commandSet: 4 } as const);

export interface NamespaceIdentifiers {
  /** 16 bytes each; undefined when the namespace has none. */
  readonly uuid: Buffer | undefined;
  readonly nguid: Buffer | undefined;
}

/** The Namespace Identification Descriptor list (CNS 03h). */
export function encodeNamespaceDescriptors(identifiers: NamespaceIdentifiers): Buffer {
  const data = Buffer.alloc(IDENTIFY_LENGTH);
  let offset = 0;
  const append = (type: number, value: Buffer): void => {
    data[offset] = type;
    data[offset + 1] = value.length;
    value.copy(data, offset + 4);
    offset += 4 + value.length;
  };
  if (identifiers.nguid !== undefined) append(DescriptorType.nguid, identifiers.nguid);
  if (identifiers.uuid !== undefined) append(DescriptorType.uuid, identifiers.uuid);
  append(DescriptorType.commandSet, Buffer.of(NVM_COMMAND_SET));
  return data;
}

export function readNamespaceDescriptors(data: Buffer): NamespaceIdentifiers {
  const found = new Map<number, Buffer>();
  let offset = 0;
  while (offset + 4 <= data.length) {
    const type = data.readUInt8(offset);
    const length = data.readUInt8(offset + 1);
    if (type === 0 || length === 0) break;
    found.set(type, Buffer.from(data.subarray(offset + 4, offset + 4 + length)));
    offset += 4 + length;
  }
  const guid = (type: number): Buffer | undefined => {
    const value = found.get(type);
    return value?.length === 16 ? value : undefined;
  };
  return { uuid: guid(DescriptorType.uuid), nguid: guid(DescriptorType.nguid) };
}
