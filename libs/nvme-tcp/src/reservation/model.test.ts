import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IoOpcode } from '../nvme/opcodes.js';
import { Status } from '../nvme/status.js';
import { permits } from './access.js';
import { nextReservations, type ReservationAction, type ReservationCommand } from './next.js';
import { fromRecord, toRecord } from './record.js';
import { isHolder, NO_RESERVATIONS, type ReservationState } from './state.js';

const HOSTS = ['h0', 'h1', 'h2', 'h3'].map((name) => Buffer.from(name.repeat(8)).toString('hex'));

/** The same rules told from the hosts' side: a table of keys, and a list of holders that is kept as hosts come and go. */
class Model {
  readonly keys = new Map<string, bigint>();
  type = 0;
  holders: string[] = [];
  told: string[] = [];

  run(command: ReservationCommand): 'ok' | 'conflict' | 'invalid' {
    this.told = [];
    const { action, hostId: host, currentKey, ignoreExistingKey: ignore } = command;
    const key = this.keys.get(host);
    if (action === 'register' || action === 'replace') {
      if (command.newKey === 0n) return 'invalid';
      if (action === 'register' && key !== undefined && key !== command.newKey) return 'conflict';
      if (action === 'replace' && !ignore && (key === undefined || key !== currentKey))
        return 'conflict';
      this.keys.set(host, command.newKey);
      this.everyoneHolds();
      return 'ok';
    }
    if (action === 'unregister') {
      if (key === undefined || (!ignore && key !== currentKey)) return 'conflict';
      const type = this.type;
      this.leave(host);
      if (this.type === 0 && (type === 3 || type === 4)) this.tellOthers(host, 2);
      return 'ok';
    }
    if (ignore) return 'invalid';
    const acquires = ['acquire', 'preempt', 'preemptAndAbort'].includes(action);
    if (acquires && (command.type < 1 || command.type > 6)) return 'invalid';
    if (key === undefined || key !== currentKey) return 'conflict';
    if (action === 'acquire') {
      if (this.type === 0) this.hold(command.type, host);
      else if (this.type !== command.type || !this.holders.includes(host)) return 'conflict';
      return 'ok';
    }
    if (action === 'release') {
      if (this.type === 0) return 'ok';
      if (this.type !== command.type) return 'invalid';
      if (!this.holders.includes(host)) return 'ok';
      const shared = this.type > 2;
      this.free();
      if (shared) this.tellOthers(host, 2);
      return 'ok';
    }
    if (action === 'clear') {
      this.tellOthers(host, 3);
      this.keys.clear();
      this.free();
      return 'ok';
    }
    return this.preempt(host, command.preemptKey, command.type);
  }

  mayAccess(host: string, write: boolean): boolean {
    if (this.type === 0 || this.holders.includes(host)) return true;
    const registered = this.keys.has(host);
    if (this.type === 1) return !write;
    if (this.type === 2) return false;
    if (registered) return true;
    return !write && (this.type === 3 || this.type === 5);
  }

  private preempt(host: string, victimKey: bigint, type: number): 'ok' | 'conflict' | 'invalid' {
    const withKey = [...this.keys].filter(([, key]) => key === victimKey).map(([each]) => each);
    const allHold = this.type > 4;
    const [first] = this.holders;
    const takesHold =
      this.type !== 0 &&
      (allHold ? victimKey === 0n : first !== undefined && withKey.includes(first));
    if (takesHold) {
      const before = this.type;
      const victims = allHold ? [...this.keys.keys()] : withKey;
      for (const each of victims) {
        if (each === host) continue;
        this.told.push(`${each} 1`);
        this.keys.delete(each);
      }
      this.hold(type, host);
      if (before !== type) this.tellOthers(host, 2);
      return 'ok';
    }
    if (this.type !== 0 && !allHold && victimKey === 0n) return 'invalid';
    if (allHold && withKey.length === 0) return 'conflict';
    for (const each of withKey) {
      this.leave(each);
      if (each !== host) this.told.push(`${each} 1`);
    }
    return 'ok';
  }

  private hold(type: number, host: string): void {
    this.type = type;
    this.holders = [host];
    this.everyoneHolds();
  }

  private everyoneHolds(): void {
    if (this.type > 4) this.holders = [...this.keys.keys()];
  }

  private leave(host: string): void {
    this.keys.delete(host);
    this.holders = this.holders.filter((each) => each !== host);
    if (this.holders.length === 0) this.free();
  }

  private free(): void {
    this.type = 0;
    this.holders = [];
  }

  private tellOthers(host: string, notice: number): void {
    for (const each of this.keys.keys()) if (each !== host) this.told.push(`${each} ${notice}`);
  }
}

const ANSWERS = {
  ok: Status.success,
  conflict: Status.reservationConflict,
  invalid: Status.invalidField,
} as const;

const ACTIONS: readonly ReservationAction[] = [
  'register',
  'unregister',
  'replace',
  'acquire',
  'preempt',
  'preemptAndAbort',
  'release',
  'clear',
];

/** Few hosts, keys and types, so that commands meet; keys lean towards the one that the host would have. */
const command: fc.Arbitrary<ReservationCommand> = fc
  .record({
    action: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...ACTIONS) },
      { weight: 2, arbitrary: fc.constantFrom<ReservationAction>('register', 'acquire') },
    ),
    host: fc.nat(HOSTS.length - 1),
    ignoreExistingKey: fc.boolean(),
    ignoreOften: fc.nat(3),
    currentKey: fc.nat(3),
    preemptKey: fc.nat(3),
    newKey: fc.nat(3),
    type: fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 1, max: 6 }) },
      { weight: 1, arbitrary: fc.constantFrom(0, 7, 255) },
    ),
    persistent: fc.constantFrom(undefined, undefined, true, false),
  })
  .map(({ host, ignoreOften, ignoreExistingKey, currentKey, preemptKey, newKey, ...rest }) => ({
    ...rest,
    hostId: HOSTS[host] ?? '',
    ignoreExistingKey: ignoreExistingKey && ignoreOften === 0,
    currentKey: BigInt(currentKey),
    preemptKey: BigInt(preemptKey),
    newKey: BigInt(newKey),
  }));

describe('reservations', () => {
  it('do what an independent model does, whatever the hosts send', () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(fc.array(command, { minLength: 1, maxLength: 40, size: 'max' }), (commands) => {
        const model = new Model();
        let state: ReservationState = NO_RESERVATIONS;
        for (const each of commands) {
          // Half the commands name the key that the host really has, or few would get past the check.
          const real = state.registrants.find(({ hostId }) => hostId === each.hostId)?.key;
          const sent = { ...each, currentKey: each.newKey < 2n ? (real ?? 0n) : each.currentKey };
          const before = state;
          const result = nextReservations(state, sent);
          const expected = model.run(sent);
          expect(result.status).toBe(ANSWERS[expected]);
          seen.set(`${each.action} ${expected}`, (seen.get(`${each.action} ${expected}`) ?? 0) + 1);
          state = result.state;
          expect(expected === 'ok' || state === before).toBe(true);
          expect(new Map(state.registrants.map(({ hostId, key }) => [hostId, key]))).toEqual(
            model.keys,
          );
          expect(state.reservation?.type ?? 0).toBe(model.type);
          expect(HOSTS.filter((host) => isHolder(state, host)).toSorted()).toEqual(
            model.holders.toSorted(),
          );
          expect(
            result.notifications.map(({ hostId, notice }) => `${hostId} ${notice}`).toSorted(),
          ).toEqual(model.told.toSorted());
          for (const host of HOSTS) {
            expect(permits(state, host, IoOpcode.read)).toBe(model.mayAccess(host, false));
            expect(permits(state, host, IoOpcode.write)).toBe(model.mayAccess(host, true));
          }
          const kept = { ...state, persistent: true };
          expect(fromRecord(JSON.parse(JSON.stringify(toRecord(kept))))).toEqual(kept);
        }
      }),
      { numRuns: 600 },
    );
    // Every action has been tried with success and with conflict, or the property would say little.
    for (const action of ACTIONS) {
      expect([action, (seen.get(`${action} ok`) ?? 0) > 20]).toEqual([action, true]);
      expect([action, (seen.get(`${action} conflict`) ?? 0) > 20]).toEqual([action, true]);
    }
  });
});

describe('the stored record', () => {
  it('holds nothing while persistence is off', () => {
    const state: ReservationState = {
      generation: 4,
      persistent: false,
      registrants: [{ hostId: HOSTS[0] ?? '', key: 1n }],
      reservation: { type: 1, holder: HOSTS[0] },
    };
    expect(fromRecord(toRecord(state))).toEqual(NO_RESERVATIONS);
    expect(fromRecord(undefined)).toBe(NO_RESERVATIONS);
  });

  const good = {
    version: 1,
    persistent: true,
    generation: 3,
    registrants: [{ hostId: HOSTS[0] ?? '', key: '0000000000000001' }],
    reservation: { type: 1, holder: HOSTS[0] ?? '' },
  } as const;

  it.each([
    ['another version', { ...good, version: 2 }],
    ['a generation beyond 32 bits', { ...good, generation: 2 ** 32 }],
    ['a bad host id', { ...good, registrants: [{ hostId: 'xyz', key: '0000000000000001' }] }],
    ['a bad key', { ...good, registrants: [{ hostId: HOSTS[0], key: '1' }] }],
    ['a host twice', { ...good, registrants: [...good.registrants, ...good.registrants] }],
    ['an unknown type', { ...good, reservation: { type: 9, holder: HOSTS[0] } }],
    ['a holder that is not registered', { ...good, reservation: { type: 1, holder: HOSTS[1] } }],
    ['a holder of what all hold', { ...good, reservation: { type: 5, holder: HOSTS[0] } }],
    ['nobody to hold it', { ...good, registrants: [], reservation: { type: 5 } }],
  ])('is refused with %s', (_what, record) => {
    expect(() => fromRecord(record as never)).toThrow(
      expect.objectContaining({ code: 'NVMF_RESERVATIONS_CORRUPT' }),
    );
    expect(fromRecord(good).registrants).toHaveLength(1);
  });
});
