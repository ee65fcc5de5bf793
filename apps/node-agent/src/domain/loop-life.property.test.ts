import fc from 'fast-check';
import { expect, it } from 'vitest';
import { loopOf, type LoopStep, type LoopWorld, nextLoopStep, servedFile } from './loop-life.js';
import type { OwnedLoop } from './ownership.js';

/** A machine that does what it is told, and to which things happen. */
interface Machine {
  record: OwnedLoop;
  world: LoopWorld;
  /** Somebody has the device open. */
  isUsed: boolean;
  isForgotten: boolean;
  isReplaced: boolean;
}

const FOLDER = '/data/loop/vol-a.3.1';
const FOREIGN = [
  { device: '/dev/loop0', backingFile: '/data/loop/vol-a.3.10/nbd', isEnding: false },
  { device: '/dev/loop1', backingFile: '/data/loop/vol-a.3.1/nbd (deleted)', isEnding: false },
  { device: '/dev/loop2', backingFile: '/other/data/loop/vol-a.3.1/nbd', isEnding: true },
];
const OURS = '/dev/loop7';

const newRecord = (over: Partial<OwnedLoop['params']>): OwnedLoop => ({
  ...{ kind: 'loop', name: 'vol-a.3.1', uuid: 'u', owner: 'vol-a', volume: 'vol-a' },
  ...{ operation: 'op', epoch: 3 },
  params: {
    ...{ folder: FOLDER, socketPath: '/data/nbd/vol-a.sock', sectorSizeBytes: 4096 },
    ...{ node: '/dev/lariat/vol-a', pointedAt: null, process: null, server: null, leaving: null },
    ...over,
  },
});

function act(machine: Machine, step: LoopStep): void {
  const { world, record } = machine;
  const set = (over: Partial<LoopWorld>): void => {
    machine.world = { ...world, ...over };
  };
  const note = (over: Partial<OwnedLoop['params']>): void => {
    machine.record = { ...record, params: { ...record.params, ...over } };
  };
  const others = world.loops.filter((loop) => loop !== loopOf(record, world.loops));
  switch (step) {
    case 'settled':
    case 'in-use':
      return;
    case 'serve':
      return set({ isServing: true, isRunning: true });
    case 'await-mount':
      return set({ isMounted: true });
    case 'bind':
      return set({
        loops: [...others, { device: OURS, backingFile: servedFile(FOLDER), isEnding: false }],
      });
    case 'point-node':
      note({ pointedAt: OURS });
      return set({ pointsTo: OURS });
    case 'replace':
      machine.isReplaced = true;
      return note({ leaving: 'forced' });
    case 'unpoint-node':
      set({ pointsTo: world.pointsTo === record.params.pointedAt ? null : world.pointsTo });
      return note({ pointedAt: null });
    case 'unbind': {
      const loop = loopOf(record, world.loops);
      if (loop === undefined) throw new Error('nothing to unbind');
      return set({ loops: machine.isUsed ? [...others, { ...loop, isEnding: true }] : others });
    }
    case 'cut-off':
    case 'end-serving':
      return set({ isServing: false, isRunning: false });
    case 'unmount':
      return set({ isMounted: false, isServing: false, isRunning: false });
    case 'forget':
      machine.isForgotten = true;
  }
}

const machines = fc
  .record({
    isRunning: fc.boolean(),
    isOnServer: fc.boolean(),
    isMounted: fc.boolean(),
    bound: fc.constantFrom('not', 'bound', 'ending'),
    isUsed: fc.boolean(),
    pointedAt: fc.constantFrom(null, OURS, '/dev/loop0'),
    pointsTo: fc.constantFrom(null, OURS, '/dev/loop0', '/dev/mapper/foreign'),
    leaving: fc.constantFrom(null, 'unused', 'forced'),
  })
  .map((drawn): Machine => {
    const { pointedAt, pointsTo, leaving, isRunning, isOnServer, isMounted, bound } = drawn;
    const ours = { device: OURS, backingFile: servedFile(FOLDER), isEnding: bound === 'ending' };
    return {
      record: newRecord({ pointedAt, leaving }),
      world: {
        loops: bound === 'not' ? FOREIGN : [...FOREIGN, ours],
        ...{ isRunning, isServing: isRunning && isOnServer, pointsTo },
        // The path of the file beneath is one in the mount.
        isMounted: isMounted || bound !== 'not',
      },
      // One that is ending and not used is gone.
      isUsed: bound === 'ending' || (drawn.isUsed && bound !== 'not'),
      ...{ isForgotten: false, isReplaced: false },
    };
  });

/** Steps until there is none to take, as the agent takes them; a bound says that it gets somewhere. */
function settle(machine: Machine): LoopStep {
  for (let steps = 0; steps < 12; steps += 1) {
    const step = nextLoopStep(machine.record, machine.world);
    if (step === 'settled' || step === 'in-use') return step;
    act(machine, step);
    if (machine.isForgotten) return 'forget';
  }
  throw new Error('it does not settle');
}

/** Where a life has come to, and what is wrong with that; a device that is in use is let go of, and settled again. */
function wrongAfterSettling(machine: Machine): readonly string[] {
  const wasWanted = machine.record.params.leaving === null;
  const end = settle(machine);
  const { isServing, isMounted, pointsTo, isRunning } = machine.world;
  const loop = loopOf(machine.record, machine.world.loops);
  if (wasWanted && !machine.isReplaced) {
    const isWhole = isServing && isMounted && loop?.device === OURS && pointsTo === OURS;
    return end === 'settled' && isWhole ? [] : [`wanted, and ${end}`];
  }
  const wrong: string[] = [];
  if (end === 'in-use') {
    if (!machine.isUsed) wrong.push('waits for users that there are not');
    if (machine.record.params.leaving === 'forced' && isRunning)
      wrong.push('its users would hang on what was taken from them');
    machine.world = { ...machine.world, loops: FOREIGN };
    machine.isUsed = false;
    settle(machine);
  }
  const { world, record, isForgotten } = machine;
  if (!isForgotten || record.params.pointedAt !== null || world.isRunning || world.isMounted)
    wrong.push('leaves something behind');
  return wrong;
}

it('comes, from whatever state, to a device that serves, or to none once nothing uses it', () => {
  fc.assert(
    fc.property(machines, (machine) => {
      expect(wrongAfterSettling(machine)).toEqual([]);
    }),
    { numRuns: 2_000 },
  );
});

it('never takes or ends a device that is not its own', () => {
  fc.assert(
    fc.property(machines, (machine) => {
      settle(machine);
      expect(machine.world.loops).toEqual(expect.arrayContaining(FOREIGN));
    }),
    { numRuns: 2_000 },
  );
});

it('never takes away a node that leads to somebody else', () => {
  fc.assert(
    fc.property(machines, (machine) => {
      const { record, world } = machine;
      fc.pre(record.params.leaving !== null && world.pointsTo === '/dev/mapper/foreign');
      settle(machine);
      expect(machine.world.pointsTo).toBe('/dev/mapper/foreign');
    }),
    { numRuns: 500 },
  );
});

it('keeps the device of users whose path is alive: nothing is done beneath them', () => {
  fc.assert(
    fc.property(machines, (machine) => {
      const { record, world } = machine;
      fc.pre(record.params.leaving === null && world.isServing);
      const before = loopOf(record, world.loops);
      fc.pre(before !== undefined);
      expect(settle(machine)).toBe('settled');
      expect(loopOf(machine.record, machine.world.loops)).toBe(before);
      expect(machine.isReplaced).toBe(false);
    }),
    { numRuns: 1_000 },
  );
});
