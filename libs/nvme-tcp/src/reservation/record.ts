import { LariatError } from '@lariat/kernel';
import { isHeldByAll, isReservationType, NO_RESERVATIONS, type ReservationState } from './state.js';
import { REGISTRANTS_MAX } from './next.js';

/**
 * What is kept of a namespace's reservations through a power loss; plain JSON. It has no registrants while the
 * hosts have not asked for persistence.
 */
export interface ReservationRecord {
  readonly version: 1;
  readonly persistent: boolean;
  readonly generation: number;
  readonly registrants: readonly {
    /** 32 hexadecimal digits. */
    readonly hostId: string;
    /** 16 hexadecimal digits. */
    readonly key: string;
  }[];
  readonly reservation?: {
    /** A `ReservationType`. */
    readonly type: number;
    /** Host id; left out when all registrants hold it. */
    readonly holder?: string;
  };
}

/**
 * Where a namespace keeps its reservations. `load` gives what the last `save` that resolved was given, or
 * undefined when there was none; `save` resolves once the record is durable. Either may reject: a command that
 * needs it then fails, and no host gets access that the lost record might have forbidden.
 */
export interface ReservationStore {
  load(): Promise<ReservationRecord | undefined>;
  save(record: ReservationRecord): Promise<void>;
}

/** The state as a power loss would leave it. */
export function toRecord(state: ReservationState): ReservationRecord {
  if (!state.persistent) return { version: 1, persistent: false, generation: 0, registrants: [] };
  const { reservation } = state;
  return {
    version: 1,
    persistent: true,
    generation: state.generation,
    registrants: state.registrants.map(({ hostId, key }) => ({
      hostId,
      key: key.toString(16).padStart(16, '0'),
    })),
    ...(reservation === undefined
      ? {}
      : {
          reservation: {
            type: reservation.type,
            ...(reservation.holder === undefined ? {} : { holder: reservation.holder }),
          },
        }),
  };
}

/** Throws LariatError('NVMF_RESERVATIONS_CORRUPT') for a record that `toRecord` cannot have made. */
export function fromRecord(record: ReservationRecord | undefined): ReservationState {
  if (record === undefined) return NO_RESERVATIONS;
  const hostIds = new Set<string>();
  check(record.version === 1, `version ${String(record.version)} is not 1`);
  check(
    Number.isInteger(record.generation) && record.generation >= 0 && record.generation < 2 ** 32,
    `generation ${record.generation} is not a 32-bit number`,
  );
  check(Array.isArray(record.registrants), 'registrants is no list');
  check(record.registrants.length <= REGISTRANTS_MAX, 'there are too many registrants');
  const registrants = record.registrants.map(({ hostId, key }) => {
    check(/^[0-9a-f]{32}$/.test(hostId), `host id '${hostId}' is not 32 hexadecimal digits`);
    check(/^[0-9a-f]{16}$/.test(key), `key '${key}' is not 16 hexadecimal digits`);
    check(!hostIds.has(hostId), `host ${hostId} is registered twice`);
    hostIds.add(hostId);
    return { hostId, key: BigInt(`0x${key}`) };
  });
  const base = { generation: record.generation, persistent: record.persistent, registrants };
  if (record.reservation === undefined) return { ...base, reservation: undefined };
  const { type, holder } = record.reservation;
  if (!isReservationType(type)) throw corrupt(`reservation type ${type} is not within 1 to 6`);
  const held = isHeldByAll(type)
    ? holder === undefined && registrants.length > 0
    : holder !== undefined && hostIds.has(holder);
  check(held, 'the reservation has no holder among the registrants');
  return { ...base, reservation: { type, holder } };
}

function check(holds: boolean, message: string): void {
  if (!holds) throw corrupt(message);
}

function corrupt(message: string): LariatError {
  return new LariatError({
    kind: 'internal',
    code: 'NVMF_RESERVATIONS_CORRUPT',
    message: `the stored reservations cannot be used: ${message}; repair or remove the record`,
  });
}
