import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  connectionsOf,
  type DmStep,
  type DmWorld,
  dmOf,
  dmUuid,
  isHeld,
  nextDmStep,
  pathOf,
  type SeenDm,
} from './dm-life.js';
import type { OwnedDm } from './ownership.js';

/** A machine that does what it is told. */
interface Machine {
  record: OwnedDm;
  world: DmWorld;
  isUsed: boolean;
  isForgotten: boolean;
  taken: DmStep[];
}

const NQN = 'nqn.2026-11.io.lariat:volume:vol-a';
const HOST = 'nqn.2026-11.io.lariat:frontend:vol-a:3';
const UUID = '11111111-2222-3333-4444-555555555555';
const BYTES = 1 << 20;
const NOW_MS = 1_000_000;
const OURS = '/dev/dm-7';
const PATH = { ...{ subsystemNqn: NQN, uuid: UUID }, device: '/dev/nvme4n1', number: '259:4' };
const OUR_CONTROLLER = { name: 'nvme4', subsystemNqn: NQN, hostNqn: HOST };

const record = (over: Partial<OwnedDm['params']>): OwnedDm => ({
  ...{ kind: 'dm', name: 'vol-a.3.1', uuid: UUID, owner: 'vol-a', volume: 'vol-a' },
  ...{ operation: 'op', epoch: 3 },
  params: {
    endpoint: { nqn: NQN, traddr: '127.0.0.1', trsvcid: '4420', uuid: UUID },
    ...{ hostNqn: HOST, node: '/dev/lariat/vol-a' },
    ...{ pointedAt: null, isRemoving: false, leaving: null, ...over },
  },
});

const dm = (device: string, uuid: string, over: Partial<SeenDm> = {}): SeenDm => ({
  ...{ device, uuid, isSuspended: false, sizeBytes: BYTES, over: '259:4' },
  ...over,
});

/** Names, numbers and places like ours, and nothing of ours. */
const FOREIGN = {
  dms: [
    dm('/dev/dm-0', 'LARIAT-vol-a-3.10'),
    dm('/dev/dm-1', 'LARIAT-vol-a-2.1', { isSuspended: true }),
    dm('/dev/dm-2', 'LVM-vol-a-3.1'),
    dm('/dev/dm-3', ''),
  ],
  namespaces: [
    { ...PATH, device: '/dev/nvme0n1', number: '259:0', uuid: 'other', sizeBytes: BYTES },
    { ...PATH, device: '/dev/nvme1n1', number: '259:1', subsystemNqn: 'other', sizeBytes: BYTES },
  ],
  controllers: [
    { name: 'nvme0', subsystemNqn: NQN, hostNqn: `${HOST}0` },
    { name: 'nvme1', subsystemNqn: 'other', hostNqn: HOST },
  ],
};

/** Does what the step says; the bytes are those that the namespace has by then. */
function act(machine: Machine, step: DmStep, bytes: number): void {
  const { world } = machine;
  machine.taken.push(step);
  const set = (over: Partial<DmWorld>): void => {
    machine.world = { ...world, ...over };
  };
  const note = (over: Partial<OwnedDm['params']>): void => {
    machine.record = { ...machine.record, params: { ...machine.record.params, ...over } };
  };
  const ours = dmOf(machine.record, world.dms);
  const others = world.dms.filter((one) => one !== ours);
  const path = pathOf(machine.record, world);
  const whole = dm(OURS, dmUuid(machine.record), {
    ...{ over: path?.number ?? null, sizeBytes: path?.sizeBytes ?? 0 },
  });
  const without = world.namespaces.filter((one) => one !== path);
  switch (step) {
    case 'settled':
    case 'held':
    case 'in-use':
      return;
    case 'let-go':
      return note({ held: null });
    case 'connect':
      return set({ controllers: [...world.controllers, OUR_CONTROLLER] });
    case 'await-path':
      return set({ namespaces: [...world.namespaces, { ...PATH, sizeBytes: bytes }] });
    case 'create':
    case 'reload':
      return set({ dms: [...others, whole] });
    case 'resume':
      return set({
        dms: ours === undefined ? others : [...others, { ...ours, isSuspended: false }],
      });
    case 'point-node':
      note({ pointedAt: OURS });
      return set({ pointsTo: OURS });
    case 'unpoint-node':
      set({ pointsTo: world.pointsTo === machine.record.params.pointedAt ? null : world.pointsTo });
      return note({ pointedAt: null });
    case 'cut-off':
    case 'disconnect': {
      const gone = connectionsOf(machine.record, world.controllers);
      const controllers = world.controllers.filter((one) => !gone.includes(one));
      return set({ controllers, namespaces: without });
    }
    case 'fail-io':
      note({ isFailed: true });
      return set({
        dms: ours === undefined ? others : [...others, { ...ours, over: null, isSuspended: false }],
      });
    case 'remove':
      set({ dms: machine.isUsed ? world.dms : others });
      return note({ isRemoving: true });
    case 'forget':
      machine.isForgotten = true;
  }
}

const machines = fc
  .record({
    isConnected: fc.boolean(),
    pathBytes: fc.constantFrom(null, BYTES, 2 * BYTES),
    over: fc.constantFrom('none', 'path', 'dead', 'nothing'),
    isSuspended: fc.boolean(),
    isUsed: fc.boolean(),
    isRemoving: fc.boolean(),
    pointedAt: fc.constantFrom(null, OURS, '/dev/dm-0'),
    pointsTo: fc.constantFrom(null, OURS, '/dev/dm-0', '/dev/sda'),
    leaving: fc.constantFrom(null, 'unused', 'forced'),
    held: fc.constantFrom('none', 'closing', 'closed', 'expired'),
  })
  .map((drawn): Machine => {
    const { isConnected, pathBytes, over, isSuspended, pointedAt, pointsTo, leaving } = drawn;
    const untilMs = NOW_MS + (drawn.held === 'expired' ? 0 : 1);
    const hold = { gate: 'g', untilMs, isClosed: drawn.held !== 'closing' };
    const held = drawn.held === 'none' ? null : hold;
    const isThere = over !== 'none';
    const isUsed = drawn.isUsed && isThere;
    const numbers = { none: null, path: '259:4', dead: '259:9', nothing: null };
    // The kernel takes a device away that it was told to, once nothing uses it.
    const isRemoving = drawn.isRemoving && leaving !== null && (isUsed || !isThere);
    const own = record({ pointedAt, leaving, isRemoving, held });
    const ours = dm(OURS, dmUuid(own), { isSuspended, over: numbers[over] });
    return {
      record: own,
      world: {
        dms: isThere ? [...FOREIGN.dms, ours] : FOREIGN.dms,
        namespaces:
          isConnected && pathBytes !== null
            ? [...FOREIGN.namespaces, { ...PATH, sizeBytes: pathBytes }]
            : FOREIGN.namespaces,
        controllers: isConnected ? [...FOREIGN.controllers, OUR_CONTROLLER] : FOREIGN.controllers,
        ...{ pointsTo, nowMs: NOW_MS },
      },
      ...{ isUsed, isForgotten: false, taken: [] },
    };
  });

function settle(machine: Machine, bytes = BYTES): DmStep {
  for (let steps = 0; steps < 14; steps += 1) {
    const step = nextDmStep(machine.record, machine.world);
    if (step === 'settled' || step === 'in-use') return step;
    if (step === 'held') {
      // Nobody opens it: its time runs out.
      machine.world = { ...machine.world, nowMs: machine.record.params.held?.untilMs ?? 0 };
      continue;
    }
    act(machine, step, bytes);
    if (machine.isForgotten) return 'forget';
  }
  throw new Error(`it does not settle: ${machine.taken.join(', ')}`);
}

function wrongAfterSettling(machine: Machine): readonly string[] {
  const { leaving } = machine.record.params;
  const end = settle(machine);
  const ours = dmOf(machine.record, machine.world.dms);
  const path = pathOf(machine.record, machine.world);
  if (leaving === null) {
    const isWhole =
      ours !== undefined &&
      !ours.isSuspended &&
      ours.over === path?.number &&
      ours.sizeBytes === path.sizeBytes &&
      machine.world.pointsTo === OURS;
    return end === 'settled' && isWhole ? [] : [`wanted, and ${end}`];
  }
  const wrong: string[] = [];
  if (end === 'in-use') {
    if (!machine.isUsed) wrong.push('waits for users that there are not');
    if (ours?.isSuspended === true) wrong.push('its users hang');
    if (leaving === 'forced' && ours?.over !== null) wrong.push('its users can still write');
    machine.world = { ...machine.world, dms: FOREIGN.dms };
    settle(machine);
  }
  const isConnected = connectionsOf(machine.record, machine.world.controllers).length > 0;
  if (!machine.isForgotten || isConnected || machine.record.params.pointedAt !== null)
    wrong.push('leaves something behind');
  return wrong;
}

it('comes, from whatever state, to a device over the path of now, or to none once nothing uses it', () => {
  fc.assert(
    fc.property(machines, (machine) => {
      expect(wrongAfterSettling(machine)).toEqual([]);
    }),
    { numRuns: 5_000 },
  );
});

it('never touches devices, connections or nodes that are not its own', () => {
  fc.assert(
    fc.property(machines, (machine) => {
      settle(machine);
      const { dms, namespaces, controllers } = machine.world;
      expect(dms).toEqual(expect.arrayContaining(FOREIGN.dms));
      expect(namespaces).toEqual(expect.arrayContaining(FOREIGN.namespaces));
      expect(controllers).toEqual(expect.arrayContaining(FOREIGN.controllers));
    }),
    { numRuns: 2_000 },
  );
});

it('leaves a node alone that leads to somebody else', () => {
  fc.assert(
    fc.property(machines, (machine) => {
      fc.pre(machine.record.params.leaving !== null && machine.world.pointsTo === '/dev/sda');
      settle(machine);
      expect(machine.world.pointsTo).toBe('/dev/sda');
    }),
    { numRuns: 500 },
  );
});

it('goes on as the same device whenever there is one: what is wanted is never made anew', () => {
  fc.assert(
    fc.property(machines, (machine) => {
      fc.pre(machine.record.params.leaving === null);
      fc.pre(dmOf(machine.record, machine.world.dms) !== undefined);
      settle(machine);
      for (const step of ['create', 'remove', 'fail-io', 'disconnect', 'cut-off'] as const)
        expect(machine.taken).not.toContain(step);
    }),
    { numRuns: 2_000 },
  );
});

it('does not hold I/O of a device that is forced out before its connection has ended', () => {
  fc.assert(
    fc.property(machines, (machine) => {
      fc.pre(machine.record.params.leaving === 'forced');
      settle(machine);
      const [cut, fail] = [machine.taken.indexOf('cut-off'), machine.taken.indexOf('fail-io')];
      expect(fail === -1 || cut === -1 || cut < fail).toBe(true);
      expect(machine.taken).not.toContain('reload');
    }),
    { numRuns: 1_000 },
  );
});

it('grows with its namespace, and never shrinks', () => {
  fc.assert(
    fc.property(machines, (machine) => {
      fc.pre(machine.record.params.leaving === null);
      settle(machine);
      const grown = machine.world.namespaces.map((one) =>
        one.uuid === UUID && one.subsystemNqn === NQN ? { ...one, sizeBytes: 4 * BYTES } : one,
      );
      machine.world = { ...machine.world, namespaces: grown };
      machine.taken = [];
      expect(settle(machine)).toBe('settled');
      expect(machine.taken).toEqual(['reload']);
      expect(dmOf(machine.record, machine.world.dms)?.sizeBytes).toBe(4 * BYTES);
    }),
    { numRuns: 500 },
  );
});

it('changes nothing beneath a device that is held, until its time has run out', () => {
  fc.assert(
    fc.property(machines, (machine) => {
      const { record, world } = machine;
      fc.pre(record.params.leaving === null && isHeld(record, dmOf(record, world.dms), NOW_MS));
      expect(nextDmStep(record, world)).toBe('held');
      settle(machine);
      expect(machine.taken[0]).toBe('let-go');
      expect(machine.record.params.held).toBeNull();
    }),
    { numRuns: 500 },
  );
});

it('takes a hold for none that was never closed, or that somebody else has ended', () => {
  fc.assert(
    fc.property(machines, (machine) => {
      const { held = null, leaving } = machine.record.params;
      const ours = dmOf(machine.record, machine.world.dms);
      fc.pre(leaving === null && held !== null && (!held.isClosed || ours?.isSuspended !== true));
      expect(nextDmStep(machine.record, machine.world)).toBe('let-go');
    }),
    { numRuns: 500 },
  );
});
