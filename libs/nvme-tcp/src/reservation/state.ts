/** RTYPE: NVMe base specification, Reservation Type Encoding. */
export const ReservationType = Object.freeze({
  writeExclusive: 1,
  exclusiveAccess: 2,
  writeExclusiveRegistrantsOnly: 3,
  exclusiveAccessRegistrantsOnly: 4,
  writeExclusiveAllRegistrants: 5,
  exclusiveAccessAllRegistrants: 6,
} as const);
export type ReservationType = (typeof ReservationType)[keyof typeof ReservationType];

const TYPES: ReadonlySet<number> = new Set(Object.values(ReservationType));

export function isReservationType(value: number): value is ReservationType {
  return TYPES.has(value);
}

/** Every registrant holds a reservation of these types. */
export function isHeldByAll(type: ReservationType): boolean {
  return (
    type === ReservationType.writeExclusiveAllRegistrants ||
    type === ReservationType.exclusiveAccessAllRegistrants
  );
}

/** These admit registrants beside the holder, who are told when the reservation goes. */
export function isRegistrantsOnly(type: ReservationType): boolean {
  return (
    type === ReservationType.writeExclusiveRegistrantsOnly ||
    type === ReservationType.exclusiveAccessRegistrantsOnly
  );
}

/** A host with a key. `hostId` is its 128-bit Host Identifier, 32 hexadecimal digits in lower case. */
export interface Registrant {
  readonly hostId: string;
  /** 64 bits, not 0. */
  readonly key: bigint;
}

export interface Reservation {
  readonly type: ReservationType;
  /** The holder, who is a registrant; undefined when all registrants hold it. */
  readonly holder: string | undefined;
}

/** The reservation state of one namespace, shared by all controllers of its subsystem. */
export interface ReservationState {
  /** GEN: 32 bits, wraps. */
  readonly generation: number;
  /** PTPLS: the state is kept through a power loss. */
  readonly persistent: boolean;
  /** In the order they registered; at most one a host. */
  readonly registrants: readonly Registrant[];
  readonly reservation: Reservation | undefined;
}

export const NO_RESERVATIONS: ReservationState = Object.freeze({
  generation: 0,
  persistent: false,
  registrants: Object.freeze([]),
  reservation: undefined,
});

export function registrantOf(state: ReservationState, hostId: string): Registrant | undefined {
  return state.registrants.find((registrant) => registrant.hostId === hostId);
}

export function isHolder(state: ReservationState, hostId: string): boolean {
  const { reservation } = state;
  if (reservation === undefined) return false;
  return isHeldByAll(reservation.type)
    ? registrantOf(state, hostId) !== undefined
    : reservation.holder === hostId;
}
