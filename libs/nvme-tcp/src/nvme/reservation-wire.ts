import type { ReservationNotice } from '../reservation/next.js';
import type { ReservationAction, ReservationCommand } from '../reservation/next.js';
import { isHolder, type ReservationState } from '../reservation/state.js';
import { readCdw, readOpcode, writeU64 } from './entry.js';
import { IoOpcode } from './opcodes.js';
import { type NvmeStatus, Status } from './status.js';

/** RESCAP: all six types, and IEKEY as of NVMe 1.3; bit 0 is persistence through power loss. */
const RESCAP_TYPES_AND_KEYS = 0xfe;
const RESCAP_PERSISTENCE = 0x01;

export function reservationCapabilities(canPersist: boolean): number {
  return RESCAP_TYPES_AND_KEYS | (canPersist ? RESCAP_PERSISTENCE : 0);
}

const ACTIONS: ReadonlyMap<number, readonly ReservationAction[]> = new Map<
  number,
  readonly ReservationAction[]
>([
  [IoOpcode.reservationRegister, ['register', 'unregister', 'replace']],
  [IoOpcode.reservationAcquire, ['acquire', 'preempt', 'preemptAndAbort']],
  [IoOpcode.reservationRelease, ['release', 'clear']],
]);

const IGNORE_EXISTING_KEY = 0x08;
const CHANGE_PERSISTENCE_SHIFT = 30;

/** CPTPL by value; the reserved one is left out. */
const PERSISTENCE: ReadonlyMap<number, boolean | undefined> = new Map<number, boolean | undefined>([
  [0, undefined],
  [2, false],
  [3, true],
]);

/** The command in an entry and its data, or the status that it ends in. */
export function readReservationCommand(
  entry: Buffer,
  data: Buffer | undefined,
  hostId: string,
): ReservationCommand | NvmeStatus {
  const opcode = readOpcode(entry);
  const dword10 = readCdw(entry, 10);
  const action = ACTIONS.get(opcode)?.[dword10 & 0x07];
  if (action === undefined) return Status.invalidField;
  const isRelease = opcode === IoOpcode.reservationRelease;
  if (data === undefined || data.length < (isRelease ? 8 : 16)) return Status.dataSglLengthInvalid;
  const isRegister = opcode === IoOpcode.reservationRegister;
  const persistence = isRegister ? dword10 >>> CHANGE_PERSISTENCE_SHIFT : 0;
  if (!PERSISTENCE.has(persistence)) return Status.invalidField;
  const second = isRelease ? 0n : data.readBigUInt64LE(8);
  return {
    action,
    hostId,
    ignoreExistingKey: (dword10 & IGNORE_EXISTING_KEY) !== 0,
    currentKey: data.readBigUInt64LE(0),
    newKey: isRegister ? second : 0n,
    preemptKey: isRegister ? 0n : second,
    type: isRegister ? 0 : (dword10 >>> 8) & 0xff,
    persistent: PERSISTENCE.get(persistence),
  };
}

const OPCODE_OF_ACTION: Readonly<
  Record<ReservationAction, { readonly opcode: number; readonly code: number }>
> = {
  register: { opcode: IoOpcode.reservationRegister, code: 0 },
  unregister: { opcode: IoOpcode.reservationRegister, code: 1 },
  replace: { opcode: IoOpcode.reservationRegister, code: 2 },
  acquire: { opcode: IoOpcode.reservationAcquire, code: 0 },
  preempt: { opcode: IoOpcode.reservationAcquire, code: 1 },
  preemptAndAbort: { opcode: IoOpcode.reservationAcquire, code: 2 },
  release: { opcode: IoOpcode.reservationRelease, code: 0 },
  clear: { opcode: IoOpcode.reservationRelease, code: 1 },
};

/** Opcode, CDW10 and data of a command; the controller knows the host. */
export function encodeReservationCommand(command: Omit<ReservationCommand, 'hostId'>): {
  readonly opcode: number;
  readonly dword10: number;
  readonly data: Buffer;
} {
  const { opcode, code } = OPCODE_OF_ACTION[command.action];
  const persistence = command.persistent === undefined ? 0 : command.persistent ? 3 : 2;
  const data = Buffer.alloc(opcode === IoOpcode.reservationRelease ? 8 : 16);
  data.writeBigUInt64LE(command.currentKey, 0);
  if (opcode === IoOpcode.reservationRegister) data.writeBigUInt64LE(command.newKey, 8);
  if (opcode === IoOpcode.reservationAcquire) data.writeBigUInt64LE(command.preemptKey, 8);
  return {
    opcode,
    dword10:
      (code |
        (command.ignoreExistingKey ? IGNORE_EXISTING_KEY : 0) |
        (command.type << 8) |
        (persistence << CHANGE_PERSISTENCE_SHIFT)) >>>
      0,
    data,
  };
}

const STATUS_HEADER_LENGTH = 64;
const REGISTERED_CONTROLLER_LENGTH = 64;
/** CNTLID of a registrant that has no controller now (dynamic controller model). */
const NO_CONTROLLER = 0xffff;

/** A controller of the subsystem and its host. */
export interface AssociatedController {
  readonly cntlid: number;
  readonly hostId: string;
}

/** The Reservation Status Extended data structure: 128-bit host identifiers, an entry for each controller of a registrant. */
export function encodeReservationReport(
  state: ReservationState,
  controllers: readonly AssociatedController[],
): Buffer {
  const entries = state.registrants.flatMap(({ hostId, key }) => {
    const own = controllers.filter((controller) => controller.hostId === hostId);
    const cntlids = own.length === 0 ? [NO_CONTROLLER] : own.map(({ cntlid }) => cntlid);
    return cntlids.map((cntlid) => ({ cntlid, hostId, key }));
  });
  const data = Buffer.alloc(STATUS_HEADER_LENGTH + entries.length * REGISTERED_CONTROLLER_LENGTH);
  data.writeUInt32LE(state.generation, 0);
  data[4] = state.reservation?.type ?? 0;
  data.writeUInt16LE(entries.length, 5);
  data[9] = state.persistent ? 1 : 0;
  entries.forEach(({ cntlid, hostId, key }, index) => {
    const at = STATUS_HEADER_LENGTH + index * REGISTERED_CONTROLLER_LENGTH;
    data.writeUInt16LE(cntlid, at);
    data[at + 2] = isHolder(state, hostId) ? 1 : 0;
    data.writeBigUInt64LE(key, at + 8);
    data.write(hostId, at + 16, 16, 'hex');
  });
  return data;
}

export interface RegisteredController {
  /** 65535 when the host has no controller now. */
  readonly cntlid: number;
  readonly holdsReservation: boolean;
  readonly key: bigint;
  /** 32 hexadecimal digits. */
  readonly hostId: string;
}

export interface ReservationReport {
  readonly generation: number;
  /** A `ReservationType`, or 0 for no reservation. */
  readonly type: number;
  readonly persistent: boolean;
  readonly registrants: readonly RegisteredController[];
  /** REGCTL: how many there are, which may be more than were read. */
  readonly registrantCount: number;
}

export function readReservationReport(data: Buffer): ReservationReport {
  const registrantCount = data.readUInt16LE(5);
  const registrants: RegisteredController[] = [];
  for (let index = 0; index < registrantCount; index += 1) {
    const at = STATUS_HEADER_LENGTH + index * REGISTERED_CONTROLLER_LENGTH;
    if (at + REGISTERED_CONTROLLER_LENGTH > data.length) break;
    registrants.push({
      cntlid: data.readUInt16LE(at),
      holdsReservation: (data.readUInt8(at + 2) & 1) !== 0,
      key: data.readBigUInt64LE(at + 8),
      hostId: data.toString('hex', at + 16, at + 32),
    });
  }
  return {
    generation: data.readUInt32LE(0),
    type: data.readUInt8(4),
    persistent: (data.readUInt8(9) & 1) !== 0,
    registrants,
    registrantCount,
  };
}

/** Bytes of a report with this many entries. */
export function reservationReportLength(entries: number): number {
  return STATUS_HEADER_LENGTH + entries * REGISTERED_CONTROLLER_LENGTH;
}

export const RESERVATION_NOTIFICATION_LENGTH = 64;

export interface ReservationLogEntry {
  /** Log Page Count: of this controller's notifications, from 1. */
  readonly count: number;
  readonly notice: ReservationNotice;
  readonly nsid: number;
}

/** Log page 80h; all zeros when no notification is waiting. */
export function encodeReservationNotification(
  entry: ReservationLogEntry | undefined,
  further: number,
): Buffer {
  const data = Buffer.alloc(RESERVATION_NOTIFICATION_LENGTH);
  if (entry === undefined) return data;
  writeU64(data, entry.count, 0);
  data[8] = entry.notice;
  data[9] = Math.min(further, 255);
  data.writeUInt32LE(entry.nsid, 12);
  return data;
}

/** The type is 0 on an empty page. */
export function readReservationNotification(data: Buffer): {
  readonly type: number;
  readonly further: number;
  readonly nsid: number;
} {
  return {
    type: data.readUInt8(8),
    further: data.readUInt8(9),
    nsid: data.readUInt32LE(12),
  };
}
