import { readU64, writeU64 } from './entry.js';
import { AdminOpcode, IoOpcode } from './opcodes.js';
import { writeText } from './text.js';

export const LogPage = Object.freeze({
  error: 0x01,
  health: 0x02,
  firmwareSlot: 0x03,
  changedNamespaces: 0x04,
  commandEffects: 0x05,
  ana: 0x0c,
  discovery: 0x70,
  reservationNotification: 0x80,
} as const);

export const AnaState = Object.freeze({
  optimized: 0x01,
  nonOptimized: 0x02,
  inaccessible: 0x03,
  persistentLoss: 0x04,
  change: 0x0f,
} as const);
export type AnaState = (typeof AnaState)[keyof typeof AnaState];

export interface AnaGroup {
  readonly id: number;
  readonly state: AnaState;
  readonly nsids: readonly number[];
}

const ANA_HEADER_LENGTH = 16;
const ANA_GROUP_LENGTH = 32;

/** Log page 0Ch; with `groupsOnly` (RGO) the namespaces are left out. */
export function encodeAnaLog(
  changeCount: number,
  groups: readonly AnaGroup[],
  groupsOnly: boolean,
): Buffer {
  const nsidsOf = (group: AnaGroup): readonly number[] => (groupsOnly ? [] : group.nsids);
  const length = groups.reduce(
    (sum, group) => sum + ANA_GROUP_LENGTH + nsidsOf(group).length * 4,
    ANA_HEADER_LENGTH,
  );
  const data = Buffer.alloc(length);
  writeU64(data, changeCount, 0);
  data.writeUInt16LE(groups.length, 8);
  let offset = ANA_HEADER_LENGTH;
  for (const group of groups) {
    data.writeUInt32LE(group.id, offset);
    data.writeUInt32LE(nsidsOf(group).length, offset + 4);
    writeU64(data, changeCount, offset + 8);
    data[offset + 16] = group.state;
    offset += ANA_GROUP_LENGTH;
    for (const nsid of nsidsOf(group)) {
      data.writeUInt32LE(nsid, offset);
      offset += 4;
    }
  }
  return data;
}

/** State by ANA group id. Stops at the end of what was read. */
export function readAnaStates(data: Buffer): ReadonlyMap<number, number> {
  const states = new Map<number, number>();
  const count = data.length >= ANA_HEADER_LENGTH ? data.readUInt16LE(8) : 0;
  let offset = ANA_HEADER_LENGTH;
  for (let index = 0; index < count && offset + ANA_GROUP_LENGTH <= data.length; index += 1) {
    states.set(data.readUInt32LE(offset), data.readUInt8(offset + 16) & 0x0f);
    offset += ANA_GROUP_LENGTH + data.readUInt32LE(offset + 4) * 4;
  }
  return states;
}

const DISCOVERY_ENTRY_LENGTH = 1024;

export interface DiscoveryEntry {
  readonly portId: number;
  readonly subsystemNqn: string;
  readonly traddr: string;
  readonly trsvcid: string;
  readonly discovery: boolean;
}

/** Log page 70h, record format 0. */
export function encodeDiscoveryLog(
  generation: number,
  entries: readonly DiscoveryEntry[],
  adminQueueSize: number,
): Buffer {
  const data = Buffer.alloc(DISCOVERY_ENTRY_LENGTH * (entries.length + 1));
  writeU64(data, generation, 0);
  writeU64(data, entries.length, 8);
  entries.forEach((entry, index) => {
    const at = DISCOVERY_ENTRY_LENGTH * (index + 1);
    data[at] = 0x03;
    data[at + 1] = entry.traddr.includes(':') ? 0x02 : 0x01;
    data[at + 2] = entry.discovery ? 0x03 : 0x02;
    // TREQ: a secure channel is not required.
    data[at + 3] = 0x02;
    data.writeUInt16LE(entry.portId, at + 4);
    data.writeUInt16LE(0xffff, at + 6);
    data.writeUInt16LE(adminQueueSize, at + 8);
    writeText(data, entry.trsvcid, at + 32, 32, ' ');
    writeText(data, entry.subsystemNqn, at + 256, 256, '\0');
    writeText(data, entry.traddr, at + 512, 256, ' ');
  });
  return data;
}

export function readDiscoveryLog(data: Buffer): {
  readonly generation: number;
  readonly count: number;
} {
  return { generation: readU64(data, 0), count: readU64(data, 8) };
}

/** CSUPP; LBCC for commands that change data. */
const SUPPORTED = 0x01;
const CHANGES_DATA = 0x03;
const CHANGING: ReadonlySet<IoOpcode> = new Set([
  IoOpcode.write,
  IoOpcode.writeZeroes,
  IoOpcode.datasetManagement,
]);

/** Log page 05h: a dword for each admin opcode, then one for each I/O opcode. */
export function encodeCommandEffects(): Buffer {
  const data = Buffer.alloc(4096);
  for (const opcode of Object.values(AdminOpcode)) data.writeUInt32LE(SUPPORTED, opcode * 4);
  for (const opcode of Object.values(IoOpcode)) {
    data.writeUInt32LE(CHANGING.has(opcode) ? CHANGES_DATA : SUPPORTED, 1024 + opcode * 4);
  }
  return data;
}

/** Log page 02h: nothing is worn out or too warm; 310 K. */
export function encodeHealth(): Buffer {
  const data = Buffer.alloc(512);
  data.writeUInt16LE(310, 1);
  data[3] = 100;
  data[4] = 10;
  return data;
}

/** Log page 03h: slot 1 is active. */
export function encodeFirmwareSlots(firmware: string): Buffer {
  const data = Buffer.alloc(512);
  data[0] = 0x01;
  writeText(data, firmware, 8, 8, ' ');
  return data;
}

export const CHANGED_NAMESPACES_LENGTH = 4096;

/** Log page 04h; more changes than fit are told by a first entry of FFFFFFFFh. */
export function encodeChangedNamespaces(nsids: readonly number[]): Buffer {
  const data = Buffer.alloc(CHANGED_NAMESPACES_LENGTH);
  if (nsids.length > CHANGED_NAMESPACES_LENGTH / 4) data.writeUInt32LE(0xffff_ffff, 0);
  else nsids.forEach((nsid, index) => data.writeUInt32LE(nsid, index * 4));
  return data;
}
