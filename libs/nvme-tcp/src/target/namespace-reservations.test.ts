import { describe, expect, it } from 'vitest';
import { IoOpcode } from '../nvme/opcodes.js';
import { Status } from '../nvme/status.js';
import type { ReservationCommand } from '../reservation/next.js';
import type { ReservationRecord, ReservationStore } from '../reservation/record.js';
import { ReservationType } from '../reservation/state.js';
import { eventually } from '../test-support.js';
import { NamespaceReservations } from './namespace-reservations.js';

const [A, B] = ['0a'.repeat(16), '0b'.repeat(16)];

/** A store whose saves end when the test says so. */
class HeldStore implements ReservationStore {
  loads = 0;
  readonly saves: {
    readonly record: ReservationRecord;
    readonly end: (error?: Error) => void;
  }[] = [];

  async load(): Promise<undefined> {
    this.loads += 1;
  }

  save(record: ReservationRecord): Promise<void> {
    return new Promise((resolve, reject) => {
      this.saves.push({
        record,
        end: (error) => (error === undefined ? resolve() : reject(error)),
      });
    });
  }
}

function command(fields: Partial<ReservationCommand>): ReservationCommand {
  return {
    action: 'register',
    hostId: A,
    ignoreExistingKey: false,
    currentKey: 0n,
    newKey: 0n,
    preemptKey: 0n,
    type: 0,
    persistent: undefined,
    ...fields,
  };
}

const REGISTER = command({ newKey: 1n, persistent: true });
const ACQUIRE = command({
  action: 'acquire',
  currentKey: 1n,
  type: ReservationType.exclusiveAccess,
});

interface Run {
  readonly status: Promise<number>;
  readonly inForce: () => boolean;
}

function run(reservations: NamespaceReservations, wanted: ReservationCommand): Run {
  let inForce = false;
  const status = reservations.execute(
    wanted,
    () => true,
    () => {
      inForce = true;
    },
  );
  return { status, inForce: () => inForce };
}

describe('the reservations of a namespace', () => {
  it('are in force, and told of, once they are stored', async () => {
    const store = new HeldStore();
    const reservations = new NamespaceReservations(store);
    const registered = run(reservations, REGISTER);
    await eventually('the first save', () => store.saves.length === 1);
    store.saves[0]?.end();
    expect(await registered.status).toBe(Status.success);
    const acquired = run(reservations, ACQUIRE);
    await eventually('the second save', () => store.saves.length === 2);
    expect([acquired.inForce(), reservations.permits(B, IoOpcode.write)]).toEqual([false, true]);
    store.saves[1]?.end();
    expect(await acquired.status).toBe(Status.success);
    expect([acquired.inForce(), reservations.permits(B, IoOpcode.write)]).toEqual([true, false]);
    expect(store.saves[1]?.record.reservation).toEqual({
      type: ReservationType.exclusiveAccess,
      holder: A,
    });
  });

  it('stay as they were, and nobody is told, when they cannot be stored', async () => {
    const store = new HeldStore();
    const reservations = new NamespaceReservations(store);
    const refused = run(reservations, REGISTER);
    await eventually('the save', () => store.saves.length === 1);
    store.saves[0]?.end(new Error('the disk is full'));
    expect(await refused.status).toBe(Status.internalError);
    expect([refused.inForce(), reservations.state.registrants]).toEqual([false, []]);
    // What the store holds now is not known, so even the old record is written anew.
    const harmless = run(reservations, command({ newKey: 1n }));
    await eventually('the next save', () => store.saves.length === 2);
    expect(store.saves[1]?.record.registrants).toEqual([]);
    store.saves[1]?.end();
    expect(await harmless.status).toBe(Status.success);
  });

  it('change one after another, and not for a host that is gone', async () => {
    const store = new HeldStore();
    const reservations = new NamespaceReservations(store);
    const first = run(reservations, REGISTER);
    let connected = true;
    const second = reservations.execute(
      command({ hostId: B, newKey: 2n }),
      () => connected,
      () => undefined,
    );
    await eventually('the first save', () => store.saves.length === 1);
    connected = false;
    store.saves[0]?.end();
    expect([await first.status, await second]).toEqual([Status.success, Status.abortedSqDeletion]);
    expect(reservations.state.registrants.map(({ hostId }) => hostId)).toEqual([A]);
    expect([store.loads, store.saves.length]).toEqual([1, 1]);
  });
});
