import { IoOpcode } from '../nvme/opcodes.js';
import { isHolder, registrantOf, type ReservationState, ReservationType } from './state.js';

/**
 * What a reservation says of a command. `own` commands decide by their keys (Acquire, Release) or are always
 * allowed (Register, Report).
 */
type Access = 'reads' | 'changes' | 'own';

const ACCESS_OF_OPCODE: ReadonlyMap<number, Access> = new Map<number, Access>([
  [IoOpcode.read, 'reads'],
  [IoOpcode.compare, 'reads'],
  [IoOpcode.verify, 'reads'],
  [IoOpcode.write, 'changes'],
  [IoOpcode.writeZeroes, 'changes'],
  [IoOpcode.datasetManagement, 'changes'],
  [IoOpcode.flush, 'changes'],
  [IoOpcode.reservationRegister, 'own'],
  [IoOpcode.reservationReport, 'own'],
  [IoOpcode.reservationAcquire, 'own'],
  [IoOpcode.reservationRelease, 'own'],
]);

interface Row {
  /** Registrants that are not holders. */
  readonly registrant: { readonly reads: boolean; readonly changes: boolean };
  readonly other: { readonly reads: boolean; readonly changes: boolean };
}

const NOTHING = { reads: false, changes: false } as const;
const READS = { reads: true, changes: false } as const;
const ALL = { reads: true, changes: true } as const;

/** NVMe base specification, Command Behavior in the Presence of a Reservation; a holder may do all. */
const ACCESS_BY_TYPE: Readonly<Record<ReservationType, Row>> = {
  [ReservationType.writeExclusive]: { registrant: READS, other: READS },
  [ReservationType.exclusiveAccess]: { registrant: NOTHING, other: NOTHING },
  [ReservationType.writeExclusiveRegistrantsOnly]: { registrant: ALL, other: READS },
  [ReservationType.exclusiveAccessRegistrantsOnly]: { registrant: ALL, other: NOTHING },
  [ReservationType.writeExclusiveAllRegistrants]: { registrant: ALL, other: READS },
  [ReservationType.exclusiveAccessAllRegistrants]: { registrant: ALL, other: NOTHING },
};

/** False when the command must end in Reservation Conflict. Opcodes that are not known are left to their own error. */
export function permits(state: ReservationState, hostId: string, opcode: number): boolean {
  const { reservation } = state;
  if (reservation === undefined) return true;
  const access = ACCESS_OF_OPCODE.get(opcode) ?? 'own';
  if (access === 'own' || isHolder(state, hostId)) return true;
  const row = ACCESS_BY_TYPE[reservation.type];
  const role = registrantOf(state, hostId) === undefined ? row.other : row.registrant;
  return role[access];
}
