import { type NvmeStatus, Status } from '../nvme/status.js';
import {
  isHeldByAll,
  isHolder,
  isRegistrantsOnly,
  isReservationType,
  type Registrant,
  registrantOf,
  type Reservation,
  type ReservationState,
  type ReservationType,
} from './state.js';

/** RREGA, RACQA and RRELA under one roof. */
export type ReservationAction =
  | 'register'
  | 'unregister'
  | 'replace'
  | 'acquire'
  | 'preempt'
  | 'preemptAndAbort'
  | 'release'
  | 'clear';

/** A Reservation Register, Acquire or Release command; fields that its action does not use are 0. */
export interface ReservationCommand {
  readonly action: ReservationAction;
  /** Of the host that sent it. */
  readonly hostId: string;
  /** IEKEY. */
  readonly ignoreExistingKey: boolean;
  /** CRKEY, NRKEY and PRKEY. */
  readonly currentKey: bigint;
  readonly newKey: bigint;
  readonly preemptKey: bigint;
  /** RTYPE as it came. */
  readonly type: number;
  /** What CPTPL sets the persistence to; undefined for no change. */
  readonly persistent: boolean | undefined;
}

/** Type of a Reservation Notification log page. */
export const ReservationNotice = Object.freeze({
  registrationPreempted: 1,
  reservationReleased: 2,
  reservationPreempted: 3,
} as const);
export type ReservationNotice = (typeof ReservationNotice)[keyof typeof ReservationNotice];

export interface ReservationNotification {
  readonly hostId: string;
  readonly notice: ReservationNotice;
}

export interface ReservationTransition {
  /** The state before it when the command failed. */
  readonly state: ReservationState;
  readonly status: NvmeStatus;
  readonly notifications: readonly ReservationNotification[];
  /** Hosts whose commands are to be ended before this one completes (preempt and abort). */
  readonly abortedHosts: readonly string[];
}

/** More registrants than any cluster has hosts; bounds what hosts can make a target keep. */
export const REGISTRANTS_MAX = 256;

/** What a successful action makes of registrants and reservation. */
interface Change {
  readonly registrants?: readonly Registrant[];
  /** Set to null to end the reservation. */
  readonly reservation?: Reservation | null;
  readonly notifications?: readonly ReservationNotification[];
  /** Hosts that lost their registration to this command, its own host left out. */
  readonly unregistered?: readonly string[];
}

type Outcome = Change | NvmeStatus;

interface Rule {
  /** Must the host be registered, with CRKEY being its key? `unlessIgnored`: not when IEKEY is set. */
  readonly registration: 'none' | 'needed' | 'unlessIgnored';
  readonly ignoreExistingKey: 'allowed' | 'invalid';
  readonly newKey: boolean;
  readonly type: boolean;
  /** GEN counts its successes. */
  readonly counted: boolean;
  readonly apply: (state: ReservationState, command: ReservationCommand) => Outcome;
}

const REGISTER = { ignoreExistingKey: 'allowed', type: false, counted: true } as const;
const KEYED = { registration: 'needed', ignoreExistingKey: 'invalid', newKey: false } as const;

/** NVMe base specification 1.4, sections 6.10 to 6.13 and 8.8; 2.2, sections 7.5 to 7.8 and 8.1.22. */
const RULES: Readonly<Record<ReservationAction, Rule>> = {
  register: { ...REGISTER, registration: 'none', newKey: true, apply: register },
  unregister: { ...REGISTER, registration: 'needed', newKey: false, apply: unregister },
  replace: { ...REGISTER, registration: 'unlessIgnored', newKey: true, apply: replace },
  acquire: { ...KEYED, type: true, counted: false, apply: acquire },
  preempt: { ...KEYED, type: true, counted: true, apply: preempt },
  preemptAndAbort: { ...KEYED, type: true, counted: true, apply: preempt },
  release: { ...KEYED, type: false, counted: false, apply: release },
  clear: { ...KEYED, type: false, counted: true, apply: clear },
};

/** Carries out one command on the state of a namespace. Statuses come without the do-not-retry bit. */
export function nextReservations(
  state: ReservationState,
  command: ReservationCommand,
): ReservationTransition {
  const rule = RULES[command.action];
  const outcome = refusal(rule, state, command) ?? rule.apply(state, command);
  if (typeof outcome === 'number')
    return { state, status: outcome, notifications: [], abortedHosts: [] };
  const registrants = outcome.registrants ?? state.registrants;
  const wanted = outcome.reservation === undefined ? state.reservation : outcome.reservation;
  return {
    state: {
      generation: rule.counted ? (state.generation + 1) % 0x1_0000_0000 : state.generation,
      persistent: command.persistent ?? state.persistent,
      registrants,
      reservation: wanted === null ? undefined : stillHeld(wanted, registrants),
    },
    status: Status.success,
    notifications: outcome.notifications ?? [],
    abortedHosts: command.action === 'preemptAndAbort' ? (outcome.unregistered ?? []) : [],
  };
}

function refusal(
  rule: Rule,
  state: ReservationState,
  command: ReservationCommand,
): NvmeStatus | undefined {
  if (command.ignoreExistingKey && rule.ignoreExistingKey === 'invalid') return Status.invalidField;
  if (rule.type && !isReservationType(command.type)) return Status.invalidField;
  if (rule.newKey && command.newKey === 0n) return Status.invalidField;
  const own = registrantOf(state, command.hostId);
  if (rule.registration === 'none') return undefined;
  if (own === undefined) {
    return rule.registration === 'unlessIgnored' && command.ignoreExistingKey
      ? undefined
      : Status.reservationConflict;
  }
  return command.ignoreExistingKey || own.key === command.currentKey
    ? undefined
    : Status.reservationConflict;
}

/** A reservation ends with its last holder's registration. */
function stillHeld(
  reservation: Reservation | undefined,
  registrants: readonly Registrant[],
): Reservation | undefined {
  if (reservation === undefined || registrants.length === 0) return undefined;
  if (isHeldByAll(reservation.type)) return reservation;
  return registrants.some(({ hostId }) => hostId === reservation.holder) ? reservation : undefined;
}

const reservationBy = (type: ReservationType, hostId: string): Reservation => ({
  type,
  holder: isHeldByAll(type) ? undefined : hostId,
});

const tell = (
  registrants: readonly Registrant[],
  except: string,
  notice: ReservationNotice,
): readonly ReservationNotification[] =>
  registrants.filter(({ hostId }) => hostId !== except).map(({ hostId }) => ({ hostId, notice }));

function register(state: ReservationState, command: ReservationCommand): Outcome {
  const { hostId, newKey } = command;
  const own = registrantOf(state, hostId);
  if (own !== undefined) return own.key === newKey ? {} : Status.reservationConflict;
  if (state.registrants.length >= REGISTRANTS_MAX) return Status.internalError;
  return { registrants: [...state.registrants, { hostId, key: newKey }] };
}

function unregister(state: ReservationState, { hostId }: ReservationCommand): Outcome {
  const registrants = state.registrants.filter((each) => each.hostId !== hostId);
  const { reservation } = state;
  const ends =
    reservation !== undefined &&
    isRegistrantsOnly(reservation.type) &&
    reservation.holder === hostId;
  return {
    registrants,
    notifications: ends ? tell(registrants, hostId, ReservationNotice.reservationReleased) : [],
  };
}

function replace(state: ReservationState, command: ReservationCommand): Outcome {
  const { hostId, newKey } = command;
  if (registrantOf(state, hostId) === undefined) return register(state, command);
  return {
    registrants: state.registrants.map((each) =>
      each.hostId === hostId ? { hostId, key: newKey } : each,
    ),
  };
}

function acquire(state: ReservationState, { hostId, type }: ReservationCommand): Outcome {
  if (!isReservationType(type)) return Status.invalidField;
  if (state.reservation === undefined) return { reservation: reservationBy(type, hostId) };
  return isHolder(state, hostId) && state.reservation.type === type
    ? {}
    : Status.reservationConflict;
}

function preempt(state: ReservationState, command: ReservationCommand): Outcome {
  const { hostId, preemptKey, type } = command;
  const { reservation, registrants } = state;
  if (!isReservationType(type)) return Status.invalidField;
  const heldByAll = reservation !== undefined && isHeldByAll(reservation.type);
  const holder = registrants.find((each) => each.hostId === reservation?.holder);
  const takesOver = heldByAll ? preemptKey === 0n : holder?.key === preemptKey;
  const named = (each: Registrant): boolean =>
    takesOver
      ? each.hostId !== hostId && (heldByAll || each.key === preemptKey)
      : each.key === preemptKey;
  const removed = registrants.filter(named);
  if (!takesOver && reservation !== undefined) {
    // 0 is the key of nobody; it means all where all hold the reservation, and nothing where one does.
    if (!heldByAll && preemptKey === 0n) return Status.invalidField;
    if (heldByAll && removed.length === 0) return Status.reservationConflict;
  }
  const remaining = registrants.filter((each) => !named(each));
  const typeChanges = takesOver && reservation?.type !== type;
  return {
    registrants: remaining,
    ...(takesOver ? { reservation: reservationBy(type, hostId) } : {}),
    notifications: [
      ...tell(removed, hostId, ReservationNotice.registrationPreempted),
      ...(typeChanges ? tell(remaining, hostId, ReservationNotice.reservationReleased) : []),
    ],
    unregistered: removed.map((each) => each.hostId).filter((each) => each !== hostId),
  };
}

function release(state: ReservationState, { hostId, type }: ReservationCommand): Outcome {
  const { reservation } = state;
  if (reservation === undefined) return {};
  if (reservation.type !== type) return Status.invalidField;
  if (!isHolder(state, hostId)) return {};
  const shared = isHeldByAll(reservation.type) || isRegistrantsOnly(reservation.type);
  return {
    reservation: null,
    notifications: shared
      ? tell(state.registrants, hostId, ReservationNotice.reservationReleased)
      : [],
  };
}

function clear(state: ReservationState, { hostId }: ReservationCommand): Outcome {
  return {
    registrants: [],
    reservation: null,
    notifications: tell(state.registrants, hostId, ReservationNotice.reservationPreempted),
  };
}
