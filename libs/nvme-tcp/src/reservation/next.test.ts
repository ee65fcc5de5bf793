import { describe, expect, it } from 'vitest';
import { IoOpcode } from '../nvme/opcodes.js';
import { Status } from '../nvme/status.js';
import { permits } from './access.js';
import {
  nextReservations,
  REGISTRANTS_MAX,
  type ReservationAction,
  type ReservationCommand,
  ReservationNotice,
} from './next.js';
import { NO_RESERVATIONS, type ReservationState, ReservationType } from './state.js';

const T = ReservationType;
const TYPES = Object.values(ReservationType);
const [A, B, C, D] = ['a', 'b', 'c', 'd'];
const OK = Status.success;
const CONFLICT = Status.reservationConflict;
const INVALID = Status.invalidField;
const { registrationPreempted, reservationReleased, reservationPreempted } = ReservationNotice;

function command(
  action: ReservationAction,
  hostId: string,
  fields: Partial<ReservationCommand> = {},
): ReservationCommand {
  return {
    action,
    hostId,
    ignoreExistingKey: false,
    currentKey: 0n,
    newKey: 0n,
    preemptKey: 0n,
    type: 0,
    persistent: undefined,
    ...fields,
  };
}

/** Runs commands that must all succeed. */
function after(
  commands: readonly ReservationCommand[],
  from: ReservationState = NO_RESERVATIONS,
): ReservationState {
  return commands.reduce((state, each) => {
    const { status, state: next } = nextReservations(state, each);
    expect([each.action, status]).toEqual([each.action, OK]);
    return next;
  }, from);
}

const registered = (hostId: string, key: bigint): ReservationCommand =>
  command('register', hostId, { newKey: key });

/** a, b and c are registered with keys 1, 2 and 2; a holds a reservation of the type; d is a stranger. */
function held(type: ReservationType): ReservationState {
  return after([
    registered(A, 1n),
    registered(B, 2n),
    registered(C, 2n),
    command('acquire', A, { currentKey: 1n, type }),
  ]);
}

/** Registrants with their keys, and the reservation. */
function summary(state: ReservationState): readonly unknown[] {
  return [
    state.registrants.map(({ hostId, key }) => `${hostId}${key}`).join(' '),
    state.reservation?.type,
    state.reservation?.holder,
  ];
}

describe('access to a reserved namespace', () => {
  // Each row as in the base specification: what [a registrant, a stranger] may do besides the holder.
  const READS = [IoOpcode.read, IoOpcode.compare, IoOpcode.verify];
  const CHANGES = [
    IoOpcode.write,
    IoOpcode.writeZeroes,
    IoOpcode.datasetManagement,
    IoOpcode.flush,
  ];
  it.each([
    { type: T.writeExclusive, reads: [true, true], changes: [false, false] },
    { type: T.exclusiveAccess, reads: [false, false], changes: [false, false] },
    { type: T.writeExclusiveRegistrantsOnly, reads: [true, true], changes: [true, false] },
    { type: T.exclusiveAccessRegistrantsOnly, reads: [true, false], changes: [true, false] },
    { type: T.writeExclusiveAllRegistrants, reads: [true, true], changes: [true, false] },
    { type: T.exclusiveAccessAllRegistrants, reads: [true, false], changes: [true, false] },
  ])('of type $type', ({ type, reads, changes }) => {
    const state = held(type);
    for (const [opcodes, expected] of [
      [READS, reads],
      [CHANGES, changes],
    ] as const) {
      for (const opcode of opcodes) {
        expect([opcode, permits(state, A, opcode)]).toEqual([opcode, true]);
        expect([opcode, permits(state, B, opcode), permits(state, D, opcode)]).toEqual([
          opcode,
          ...expected,
        ]);
      }
    }
    const status = (each: ReservationCommand): number => nextReservations(state, each).status;
    // Reservation commands: a registrant that is no holder, then a stranger.
    const heldByAll = type >= T.writeExclusiveAllRegistrants;
    expect([
      status(command('acquire', B, { currentKey: 2n, type })),
      status(command('acquire', D, { type })),
    ]).toEqual([heldByAll ? OK : CONFLICT, CONFLICT]);
    for (const action of ['preempt', 'preemptAndAbort'] as const) {
      expect([
        status(command(action, B, { currentKey: 2n, preemptKey: 1n, type })),
        status(command(action, D, { preemptKey: 1n, type })),
      ]).toEqual([OK, CONFLICT]);
    }
    for (const action of ['release', 'clear'] as const) {
      expect([
        status(command(action, B, { currentKey: 2n, type })),
        status(command(action, D, { type })),
      ]).toEqual([OK, CONFLICT]);
    }
    expect(status(registered(D, 4n))).toBe(OK);
    for (const opcode of [
      IoOpcode.reservationRegister,
      IoOpcode.reservationReport,
      IoOpcode.reservationAcquire,
      IoOpcode.reservationRelease,
    ]) {
      expect(permits(state, D, opcode)).toBe(true);
    }
  });

  it('is free without a reservation, also for hosts that are not registered', () => {
    const state = after([registered(A, 1n)]);
    expect([...READS, ...CHANGES].every((opcode) => permits(state, D, opcode))).toBe(true);
  });
});

interface Case {
  readonly what: string;
  readonly from: ReservationState;
  readonly does: ReservationCommand;
  readonly status?: number;
  /** Registrants, type and holder afterwards; left out for no change. */
  readonly then?: readonly unknown[];
  readonly notified?: readonly (readonly [string, number])[];
  readonly aborted?: readonly string[];
  readonly counted?: boolean;
}

const WE = T.writeExclusive;
const WERO = T.writeExclusiveRegistrantsOnly;
const EARO = T.exclusiveAccessRegistrantsOnly;
const WEAR = T.writeExclusiveAllRegistrants;
const EAAR = T.exclusiveAccessAllRegistrants;
const pair = after([registered(A, 1n), registered(B, 2n)]);
const trio = after([registered(C, 2n)], pair);

const CASES: readonly Case[] = [
  // Register
  {
    what: 'a first key',
    from: NO_RESERVATIONS,
    does: registered(A, 7n),
    then: ['a7', undefined, undefined],
    counted: true,
  },
  { what: 'the same key once more', from: pair, does: registered(A, 1n), counted: true },
  { what: 'another key over the first', from: pair, does: registered(A, 9n), status: CONFLICT },
  { what: 'key 0', from: pair, does: registered(D, 0n), status: INVALID },
  {
    what: 'a key that another host has',
    from: pair,
    does: registered(D, 1n),
    then: ['a1 b2 d1', undefined, undefined],
    counted: true,
  },
  {
    what: 'a new key in place of the old',
    from: held(WE),
    does: command('replace', A, { currentKey: 1n, newKey: 9n }),
    then: ['a9 b2 c2', WE, A],
    counted: true,
  },
  {
    what: 'a new key without the old',
    from: pair,
    does: command('replace', A, { currentKey: 5n, newKey: 9n }),
    status: CONFLICT,
  },
  {
    what: 'a new key, the old one ignored',
    from: pair,
    does: command('replace', A, { currentKey: 5n, newKey: 9n, ignoreExistingKey: true }),
    then: ['a9 b2', undefined, undefined],
    counted: true,
  },
  {
    what: 'a new key of a stranger',
    from: pair,
    does: command('replace', D, { newKey: 9n }),
    status: CONFLICT,
  },
  {
    what: 'a new key of a stranger, the old one ignored',
    from: pair,
    does: command('replace', D, { newKey: 9n, ignoreExistingKey: true }),
    then: ['a1 b2 d9', undefined, undefined],
    counted: true,
  },
  {
    what: 'key 0 in place of the old',
    from: pair,
    does: command('replace', A, { currentKey: 1n }),
    status: INVALID,
  },
  {
    what: 'a leave',
    from: pair,
    does: command('unregister', B, { currentKey: 2n }),
    then: ['a1', undefined, undefined],
    counted: true,
  },
  {
    what: 'a leave with a wrong key',
    from: pair,
    does: command('unregister', B, { currentKey: 1n }),
    status: CONFLICT,
  },
  {
    what: 'a leave, the key ignored',
    from: pair,
    does: command('unregister', B, { ignoreExistingKey: true }),
    then: ['a1', undefined, undefined],
    counted: true,
  },
  {
    what: 'a leave of a stranger',
    from: pair,
    does: command('unregister', D, { ignoreExistingKey: true }),
    status: CONFLICT,
  },
  {
    what: 'the leave of a holder',
    from: held(WE),
    does: command('unregister', A, { currentKey: 1n }),
    then: ['b2 c2', undefined, undefined],
    notified: [],
    counted: true,
  },
  {
    what: 'the leave of a holder, registrants only',
    from: held(EARO),
    does: command('unregister', A, { currentKey: 1n }),
    then: ['b2 c2', undefined, undefined],
    notified: [
      [B, reservationReleased],
      [C, reservationReleased],
    ],
    counted: true,
  },
  {
    what: 'the leave of another registrant',
    from: held(EARO),
    does: command('unregister', B, { currentKey: 2n }),
    then: ['a1 c2', EARO, A],
    counted: true,
  },
  {
    what: 'the leave of one of all holders',
    from: held(WEAR),
    does: command('unregister', A, { currentKey: 1n }),
    then: ['b2 c2', WEAR, undefined],
    counted: true,
  },
  {
    what: 'the leave of the last holder',
    from: after(
      [command('unregister', B, { currentKey: 2n }), command('unregister', C, { currentKey: 2n })],
      held(WEAR),
    ),
    does: command('unregister', A, { currentKey: 1n }),
    then: ['', undefined, undefined],
    counted: true,
  },
  // Acquire
  {
    what: 'acquire',
    from: pair,
    does: command('acquire', A, { currentKey: 1n, type: WE }),
    then: ['a1 b2', WE, A],
  },
  {
    what: 'acquire for all',
    from: pair,
    does: command('acquire', A, { currentKey: 1n, type: EAAR }),
    then: ['a1 b2', EAAR, undefined],
  },
  {
    what: 'acquire once more',
    from: held(WE),
    does: command('acquire', A, { currentKey: 1n, type: WE }),
  },
  {
    what: 'acquire with another type',
    from: held(WE),
    does: command('acquire', A, { currentKey: 1n, type: WERO }),
    status: CONFLICT,
  },
  {
    what: 'acquire what another holds',
    from: held(WE),
    does: command('acquire', B, { currentKey: 2n, type: WE }),
    status: CONFLICT,
  },
  {
    what: 'acquire with another type what all hold',
    from: held(WEAR),
    does: command('acquire', B, { currentKey: 2n, type: EAAR }),
    status: CONFLICT,
  },
  {
    what: 'acquire with a wrong key',
    from: pair,
    does: command('acquire', A, { currentKey: 2n, type: WE }),
    status: CONFLICT,
  },
  {
    what: 'acquire with IEKEY',
    from: pair,
    does: command('acquire', A, { currentKey: 1n, type: WE, ignoreExistingKey: true }),
    status: INVALID,
  },
  {
    what: 'acquire type 0',
    from: pair,
    does: command('acquire', A, { currentKey: 1n, type: 0 }),
    status: INVALID,
  },
  {
    what: 'acquire type 7',
    from: pair,
    does: command('acquire', A, { currentKey: 1n, type: 7 }),
    status: INVALID,
  },
  // Preempt
  {
    what: 'preempt registrations, nothing held',
    from: trio,
    does: command('preempt', A, { currentKey: 1n, preemptKey: 2n, type: WE }),
    then: ['a1', undefined, undefined],
    notified: [
      [B, registrationPreempted],
      [C, registrationPreempted],
    ],
    counted: true,
  },
  {
    what: 'preempt itself, nothing held',
    from: trio,
    does: command('preempt', A, { currentKey: 1n, preemptKey: 1n, type: WE }),
    then: ['b2 c2', undefined, undefined],
    notified: [],
    counted: true,
  },
  {
    what: 'preempt a key of nobody',
    from: trio,
    does: command('preempt', A, { currentKey: 1n, preemptKey: 8n, type: WE }),
    counted: true,
  },
  {
    what: 'preempt key 0, nothing held',
    from: trio,
    does: command('preempt', A, { currentKey: 1n, preemptKey: 0n, type: WE }),
    counted: true,
  },
  {
    what: 'preempt the holder',
    from: held(WE),
    does: command('preempt', B, { currentKey: 2n, preemptKey: 1n, type: WE }),
    then: ['b2 c2', WE, B],
    notified: [[A, registrationPreempted]],
    counted: true,
  },
  {
    what: 'preempt the holder with another type',
    from: held(WE),
    does: command('preempt', B, { currentKey: 2n, preemptKey: 1n, type: EARO }),
    then: ['b2 c2', EARO, B],
    notified: [
      [A, registrationPreempted],
      [C, reservationReleased],
    ],
    counted: true,
  },
  {
    what: 'preempt the holder for all',
    from: held(WE),
    does: command('preempt', B, { currentKey: 2n, preemptKey: 1n, type: WEAR }),
    then: ['b2 c2', WEAR, undefined],
    notified: [
      [A, registrationPreempted],
      [C, reservationReleased],
    ],
    counted: true,
  },
  {
    what: 'preempt others while another holds',
    from: held(WE),
    does: command('preempt', B, { currentKey: 2n, preemptKey: 2n, type: EARO }),
    then: ['a1', WE, A],
    notified: [[C, registrationPreempted]],
    counted: true,
  },
  {
    what: 'preempt by the holder',
    from: held(WE),
    does: command('preempt', A, { currentKey: 1n, preemptKey: 2n, type: EARO }),
    then: ['a1', WE, A],
    notified: [
      [B, registrationPreempted],
      [C, registrationPreempted],
    ],
    counted: true,
  },
  {
    what: 'preempt by the holder itself changes the type',
    from: held(WE),
    does: command('preempt', A, { currentKey: 1n, preemptKey: 1n, type: WERO }),
    then: ['a1 b2 c2', WERO, A],
    notified: [
      [B, reservationReleased],
      [C, reservationReleased],
    ],
    counted: true,
  },
  {
    what: 'preempt by the holder whose key others have',
    from: after([
      registered(A, 2n),
      registered(B, 2n),
      registered(C, 2n),
      command('acquire', A, { currentKey: 2n, type: WE }),
    ]),
    does: command('preempt', A, { currentKey: 2n, preemptKey: 2n, type: WE }),
    then: ['a2', WE, A],
    notified: [
      [B, registrationPreempted],
      [C, registrationPreempted],
    ],
    counted: true,
  },
  {
    what: 'preempt key 0 of one holder',
    from: held(WE),
    does: command('preempt', B, { currentKey: 2n, preemptKey: 0n, type: WE }),
    status: INVALID,
  },
  {
    what: 'preempt a key of nobody from a holder',
    from: held(WE),
    does: command('preempt', B, { currentKey: 2n, preemptKey: 8n, type: WE }),
    counted: true,
  },
  {
    what: 'preempt all holders',
    from: held(WEAR),
    does: command('preempt', B, { currentKey: 2n, preemptKey: 0n, type: WE }),
    then: ['b2', WE, B],
    notified: [
      [A, registrationPreempted],
      [C, registrationPreempted],
    ],
    counted: true,
  },
  {
    what: 'preempt some of all holders',
    from: held(WEAR),
    does: command('preempt', A, { currentKey: 1n, preemptKey: 2n, type: WE }),
    then: ['a1', WEAR, undefined],
    notified: [
      [B, registrationPreempted],
      [C, registrationPreempted],
    ],
    counted: true,
  },
  {
    what: 'preempt a key of no holder of all',
    from: held(WEAR),
    does: command('preempt', A, { currentKey: 1n, preemptKey: 8n, type: WE }),
    status: CONFLICT,
  },
  {
    what: 'preempt with an invalid type',
    from: held(WE),
    does: command('preempt', B, { currentKey: 2n, preemptKey: 1n, type: 9 }),
    status: INVALID,
  },
  {
    what: 'preempt with IEKEY',
    from: held(WE),
    does: command('preempt', B, {
      currentKey: 2n,
      preemptKey: 1n,
      type: WE,
      ignoreExistingKey: true,
    }),
    status: INVALID,
  },
  {
    what: 'preempt and abort the holder',
    from: held(WE),
    does: command('preemptAndAbort', B, { currentKey: 2n, preemptKey: 1n, type: WE }),
    then: ['b2 c2', WE, B],
    notified: [[A, registrationPreempted]],
    aborted: [A],
    counted: true,
  },
  {
    what: 'preempt and abort never its own host',
    from: held(WE),
    does: command('preemptAndAbort', B, { currentKey: 2n, preemptKey: 2n, type: WE }),
    then: ['a1', WE, A],
    notified: [[C, registrationPreempted]],
    aborted: [C],
    counted: true,
  },
  // Release and clear
  {
    what: 'release',
    from: held(WE),
    does: command('release', A, { currentKey: 1n, type: WE }),
    then: ['a1 b2 c2', undefined, undefined],
    notified: [],
  },
  {
    what: 'release, registrants only',
    from: held(WERO),
    does: command('release', A, { currentKey: 1n, type: WERO }),
    then: ['a1 b2 c2', undefined, undefined],
    notified: [
      [B, reservationReleased],
      [C, reservationReleased],
    ],
  },
  {
    what: 'release by one of all holders',
    from: held(EAAR),
    does: command('release', B, { currentKey: 2n, type: EAAR }),
    then: ['a1 b2 c2', undefined, undefined],
    notified: [
      [A, reservationReleased],
      [C, reservationReleased],
    ],
  },
  {
    what: 'release by no holder',
    from: held(WERO),
    does: command('release', B, { currentKey: 2n, type: WERO }),
  },
  {
    what: 'release with nothing held',
    from: pair,
    does: command('release', A, { currentKey: 1n, type: WE }),
  },
  {
    what: 'release with the wrong type',
    from: held(WE),
    does: command('release', A, { currentKey: 1n, type: EARO }),
    status: INVALID,
  },
  {
    what: 'release with a wrong key',
    from: held(WE),
    does: command('release', A, { currentKey: 2n, type: WE }),
    status: CONFLICT,
  },
  {
    what: 'release with IEKEY',
    from: held(WE),
    does: command('release', A, { currentKey: 1n, type: WE, ignoreExistingKey: true }),
    status: INVALID,
  },
  {
    what: 'clear',
    from: held(WE),
    does: command('clear', B, { currentKey: 2n }),
    then: ['', undefined, undefined],
    notified: [
      [A, reservationPreempted],
      [C, reservationPreempted],
    ],
    counted: true,
  },
  {
    what: 'clear with nothing held',
    from: pair,
    does: command('clear', A, { currentKey: 1n }),
    then: ['', undefined, undefined],
    notified: [[B, reservationPreempted]],
    counted: true,
  },
  { what: 'clear by a stranger', from: held(WE), does: command('clear', D), status: CONFLICT },
];

describe('a reservation command', () => {
  it.each(CASES)('$what', ({ from, does, status, then, notified, aborted, counted }) => {
    const result = nextReservations(from, does);
    expect(result.status).toBe(status ?? OK);
    expect(summary(result.state)).toEqual(then ?? summary(from));
    expect(result.notifications.map(({ hostId, notice }) => [hostId, notice])).toEqual(
      notified ?? [],
    );
    expect(result.abortedHosts).toEqual(aborted ?? []);
    expect(result.state.generation - from.generation).toBe(counted === true ? 1 : 0);
  });

  it('sets the persistence only when it succeeds', () => {
    const on = nextReservations(pair, command('register', A, { newKey: 1n, persistent: true }));
    expect(on.state.persistent).toBe(true);
    const kept = nextReservations(on.state, registered(B, 2n));
    expect(kept.state.persistent).toBe(true);
    const refused = nextReservations(
      on.state,
      command('register', A, { newKey: 5n, persistent: false }),
    );
    expect([refused.status, refused.state.persistent]).toEqual([CONFLICT, true]);
    const off = nextReservations(
      on.state,
      command('unregister', A, { currentKey: 1n, persistent: false }),
    );
    expect(off.state.persistent).toBe(false);
  });

  it('wraps the generation at 32 bits', () => {
    const last = { ...pair, generation: 0xffff_ffff };
    expect(nextReservations(last, registered(D, 1n)).state.generation).toBe(0);
  });

  it('admits a bounded number of registrants', () => {
    const full = after(
      Array.from({ length: REGISTRANTS_MAX }, (_, index) => registered(`host${index}`, 1n)),
    );
    expect(nextReservations(full, registered(A, 1n)).status).toBe(Status.internalError);
    expect(nextReservations(full, registered('host3', 1n)).status).toBe(OK);
  });

  it('never changes the state it is given', () => {
    for (const type of TYPES) {
      const state = held(type);
      const before = JSON.stringify(state, (_key, value: unknown) =>
        typeof value === 'bigint' ? `${value}n` : value,
      );
      nextReservations(state, command('preempt', B, { currentKey: 2n, preemptKey: 1n, type }));
      nextReservations(state, command('clear', A, { currentKey: 1n }));
      expect(
        JSON.stringify(state, (_key, value: unknown) =>
          typeof value === 'bigint' ? `${value}n` : value,
        ),
      ).toBe(before);
    }
  });
});
