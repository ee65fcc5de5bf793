import { IMAGE_EVENTS, IMAGE_MACHINE } from '@lariat/backing-image-svc';
import { PROCESS_MACHINE } from '@lariat/cli';
import {
  NODE_DUTY_MACHINE,
  NODE_MACHINE,
  NodeDuty,
  VOLUME_MACHINE,
  type VolumeEvent,
  type VolumeRecord,
  type VolumeState,
} from '@lariat/contracts';
import { defineStateMachine } from '@lariat/kernel';
import { type SagaEvent, type SagaRecord, nextRecord } from '@lariat/saga';
import { applyVolumeChanges } from '@lariat/volume-svc';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { imaginedAttached, imaginedVolume } from './imagined-records.js';
import { findTableFaults } from './table-faults.js';

/** Whether an operation must be at work there; a record of these keys, so that a new state or event is missed here. */
const IS_REST: Readonly<Record<VolumeState, boolean>> = {
  creating: false,
  detached: true,
  attaching: false,
  attached: true,
  detaching: false,
  deleting: false,
};
const EVENTS: Readonly<Record<VolumeEvent, true>> = {
  created: true,
  attach: true,
  seize: true,
  attached: true,
  'attach-undone': true,
  detach: true,
  detached: true,
  delete: true,
};
const states = Object.keys(IS_REST) as VolumeState[];
const rests = states.filter((state) => IS_REST[state]);
const events = Object.keys(EVENTS) as VolumeEvent[];

describe('the state table of images', () => {
  it('has no state that nothing leads to, no way from a failure to ready, and no idle event', () => {
    const demands = {
      ...{ initial: 'pending', finals: ['deleting'], rests: ['ready', 'failed'] },
      events: IMAGE_EVENTS,
    } as const;
    expect(findTableFaults(IMAGE_MACHINE, demands)).toEqual([]);
    expect(Object.values(IMAGE_MACHINE.table.failed)).toEqual(['deleting']);
    // Whatever an import is doing, it can fail; what is ready can't any more.
    for (const state of ['pending', 'downloading', 'converting', 'verifying'] as const)
      expect(IMAGE_MACHINE.next(state, 'fail')).toBe('failed');
    expect(IMAGE_MACHINE.can('ready', 'fail')).toBe(false);
  });
});

describe('the state table of volumes', () => {
  it('has no state that nothing leads to, no dead end but the last one, and no idle event', () => {
    const demands = { initial: 'creating', finals: ['deleting'], rests, events } as const;
    expect(findTableFaults(VOLUME_MACHINE, demands)).toEqual([]);
    expect(Object.keys(VOLUME_MACHINE.table).toSorted()).toEqual(states.toSorted());
  });

  it('lets a volume be deleted from wherever it has come to', () => {
    const anyWalk = fc.array(fc.constantFrom(...events));
    fc.assert(
      fc.property(anyWalk, (walk) => {
        let state: VolumeState = 'creating';
        for (const event of walk)
          if (VOLUME_MACHINE.can(state, event)) state = VOLUME_MACHINE.next(state, event);
        const reached = new Set<VolumeState>([state]);
        for (const from of reached)
          for (const to of Object.values(VOLUME_MACHINE.table[from])) reached.add(to);
        expect(reached).toContain('deleting');
      }),
    );
  });

  it('undoes an attach into a volume that is detached, and nothing else', () => {
    const undone = states.filter((state) => VOLUME_MACHINE.can(state, 'attach-undone'));
    expect(undone).toEqual(['attaching']);
    expect(VOLUME_MACHINE.next('attaching', 'attach-undone')).toBe('detached');
  });

  it('leaves every state that an operation works in by that operation alone', () => {
    const begins = new Set<VolumeEvent>(['attach', 'seize', 'detach', 'delete']);
    for (const state of states) {
      for (const event of Object.keys(VOLUME_MACHINE.table[state]) as VolumeEvent[]) {
        const to = VOLUME_MACHINE.next(state, event);
        // What begins leads to where an operation works, what ends to where the volume rests.
        expect(IS_REST[to], `${state} -> ${to}: ${event}`).toBe(!begins.has(event));
        // A volume at rest is only moved by what begins.
        expect(!IS_REST[state] || begins.has(event), `${state}: ${event}`).toBe(true);
      }
    }
  });

  it('takes an event that a resumed operation sends again without a change', () => {
    const held = (record: VolumeRecord): VolumeRecord => ({ ...record, operation: 'op-1' });
    const move = (record: VolumeRecord, event: VolumeEvent): VolumeRecord =>
      applyVolumeChanges(record, 'op-1', [{ type: 'transition', event }]).record;
    for (const state of states) {
      const record = held({
        ...(state === 'attached' ? imaginedAttached() : imaginedVolume()),
        state,
      });
      for (const event of events) {
        if (!VOLUME_MACHINE.can(state, event)) continue;
        const once = move(record, event);
        if (VOLUME_MACHINE.can(once.state, event)) continue;
        expect(move(once, event), `${state}: ${event}`).toBe(once);
      }
    }
  });
});

describe('the state tables of nodes', () => {
  it('have no state that nothing leads to, no dead end but the last one, and no idle event', () => {
    const health = {
      ...{ initial: 'ready', finals: ['removed'], rests: ['ready'] },
      events: ['heard', 'missed', 'silent', 'target-lost', 'wavers', 'remove'],
    } as const;
    expect(findTableFaults(NODE_MACHINE, health)).toEqual([]);
    const duty = {
      ...{ initial: 'open', finals: [], rests: ['open', 'cordoned', 'drained'] },
      events: ['cordon', 'uncordon', 'drain', 'drained', 'drain-ended'],
    } as const;
    expect(findTableFaults(NODE_DUTY_MACHINE, duty)).toEqual([]);
  });

  it('declare nothing down for some missed heartbeats, and remove nothing that may be alive', () => {
    const states = ['ready', 'suspect', 'down'] as const;
    const afterMissing = states.map((state) => NODE_MACHINE.table[state].missed);
    expect(afterMissing).toEqual(['suspect', undefined, undefined]);
    const removable = states.filter((state) => NODE_MACHINE.can(state, 'remove'));
    expect(removable).toEqual(['down']);
  });

  it('let a node be opened whatever it was told before, and never by a drain that ends', () => {
    const opened = Object.values(NodeDuty).map((duty) => NODE_DUTY_MACHINE.table[duty].uncordon);
    expect(opened).toEqual([undefined, 'open', 'open', 'open']);
    const ends = [
      NODE_DUTY_MACHINE.next('draining', 'drained'),
      NODE_DUTY_MACHINE.next('draining', 'drain-ended'),
    ];
    expect(ends).toEqual(['drained', 'cordoned']);
  });
});

describe('the state table of supervised processes', () => {
  it('has no state that nothing leads to, and can always be started and stopped', () => {
    const demands = { initial: 'stopped', finals: [], rests: ['stopped'] } as const;
    const all = ['serving', 'died', 'retry', 'stop', 'ended'] as const;
    expect(findTableFaults(PROCESS_MACHINE, { ...demands, events: all })).toEqual([]);
    expect(findTableFaults(PROCESS_MACHINE, { ...demands, rests: ['ready'], events: all })).toEqual(
      [],
    );
  });
});

describe('the search for faults of a table', () => {
  it('names each of them', () => {
    const machine = defineStateMachine<'a' | 'b' | 'c' | 'd' | 'e', 'go' | 'turn' | 'idle'>('bad', {
      a: { go: 'b', turn: 'c' },
      b: {},
      c: { go: 'c' },
      d: { go: 'a' },
      e: {},
    });
    const demands = { initial: 'a', finals: ['e'], rests: ['b'], events: ['go', 'idle'] } as const;
    expect(findTableFaults(machine, demands)).toEqual([
      "bad: nothing leads to 'd'",
      "bad: nothing leads to 'e'",
      "bad: nothing leads from 'b'",
      "bad: 'c' never comes to rest",
      "bad: no state knows 'idle'",
    ]);
  });
});

const error = { kind: 'unavailable' as const, code: 'X', message: 'x' };
const begun: SagaRecord = {
  ...{ id: 'op', kind: 'k', subject: 's/1', input: null, memory: {}, state: 'running' },
  ...{ stepIndex: 0, stepName: 's0', attempt: 1, failures: 0, stepSinceMs: 0, nextTryAtMs: null },
  ...{ waitingFor: null, progress: null, lastError: null, error: null, result: null, holder: 'i' },
  ...{ fence: 1, traceId: '', spanId: '', traceparent: null, actor: 'a', startedAtMs: 0 },
  endedAtMs: null,
};

/** What may happen to a record of either direction, besides the progress and notes that change no state. */
const FORWARD: readonly SagaEvent[] = [
  { type: 'step-done', memory: {}, result: 'r' },
  { type: 'step-retry', error, retryAtMs: 1 },
  { type: 'step-failed', error },
  { type: 'run-begun' },
  { type: 'taken-over', holder: 'j' },
];
const BACK: readonly SagaEvent[] = [
  { type: 'undo-done' },
  { type: 'undo-retry', error, retryAtMs: 1 },
  { type: 'undo-failed', error },
  { type: 'run-begun' },
  { type: 'taken-over', holder: 'j' },
];

describe('the life of an operation', () => {
  it('goes forward step by step or back step by step, and ends in one of three ways', () => {
    const anyLife = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 60, maxLength: 60 });
    fc.assert(
      fc.property(anyLife, fc.integer({ min: 1, max: 6 }), (choices, count) => {
        const steps = Array.from({ length: count }, (_, index) => `s${index}`);
        const shape = { steps, waitsFor: () => null };
        let record = begun;
        let failedAt = -1;
        const undone: number[] = [];
        for (const choice of choices) {
          if (record.endedAtMs !== null) break;
          const before = record;
          const event = (before.state === 'running' ? FORWARD : BACK)[choice] ?? BACK[0];
          if (event === undefined) throw new Error('no event');
          record = nextRecord(before, event, shape, 1);
          if (event.type === 'step-failed') failedAt = before.stepIndex;
          if (event.type === 'undo-done') undone.push(before.stepIndex);
          // Whoever holds it, runs it again or waits moves neither the step nor the direction.
          const stays = ['step-retry', 'undo-retry', 'run-begun', 'taken-over'].includes(
            event.type,
          );
          const moved = record.state !== before.state || record.stepIndex !== before.stepIndex;
          expect(stays && moved).toBe(false);
          expect(record.fence - before.fence).toBe(event.type === 'taken-over' ? 1 : 0);
        }
        // What failed half-way is undone too, and then each step before it, once, the last one first.
        const back = Array.from({ length: failedAt + 1 }, (_, index) => failedAt - index);
        expect(undone).toEqual(back.slice(0, undone.length));
        expect(undone.length).toBe(record.state === 'failed' ? failedAt + 1 : undone.length);
        expect(record.result).toBe(record.state === 'succeeded' ? 'r' : null);
        const ended = ['succeeded', 'failed', 'stuck'].includes(record.state);
        expect(record.endedAtMs !== null).toBe(ended);
        expect(record.stepName === null).toBe(ended);
      }),
    );
  });
});
