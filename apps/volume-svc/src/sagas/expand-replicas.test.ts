import { type CommandName, type VolumeChange, lariatError } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { applyVolumeChanges } from '../domain/apply-change.js';
import { newVolumeRecord } from '../domain/volume-record.test-support.js';
import {
  type ExpandContext,
  type GrowthOutcome,
  growUnderEngine,
  judgeGrowth,
} from './expand-replicas.js';
import type { SagaDeps } from './saga-deps.js';

const grown = (replica: string): GrowthOutcome => ({ replica, kind: 'grown' });
const refused = (replica: string): GrowthOutcome => ({
  replica,
  kind: 'refused',
  error: lariatError('REPLICA_NOT_FOUND', 'it is gone'),
});
const unknown = (replica: string): GrowthOutcome => ({
  replica,
  kind: 'unknown',
  error: lariatError('DEADLINE_EXCEEDED', 'no answer'),
});

it.each<readonly [string, readonly GrowthOutcome[], object]>([
  ['all have grown', [grown('a'), grown('b')], { kind: 'grown', left: [] }],
  ['one could not', [grown('a'), refused('b')], { kind: 'grown', left: [{ replica: 'b' }] }],
  ['one did not answer', [grown('a'), unknown('b'), refused('c')], { kind: 'again' }],
  ['none could', [refused('a'), refused('b')], { kind: 'refused' }],
  ['the only one did not answer', [unknown('a')], { kind: 'again' }],
])('%s', (_name, outcomes, verdict) => {
  expect(judgeGrowth(outcomes)).toMatchObject(verdict);
});

it('never leaves a volume with no replica of the new size', () => {
  const verdict = judgeGrowth([refused('a'), grown('b'), refused('c')]);
  expect(verdict.kind === 'grown' && verdict.left.map(({ replica }) => replica)).toEqual([
    'a',
    'c',
  ]);
});

describe('a growth under an engine', () => {
  /** n3 refuses to grow; `isKept` says whether the members' nodes keep the record. */
  function growth() {
    const happened: string[] = [];
    const state = { record: newVolumeRecord({ operation: 'op' }), isKept: true };
    const volumes = {
      findFresh: () => Promise.resolve({ value: state.record }),
      change: (_id: string, operation: string, changes: readonly VolumeChange[]) => {
        state.record = applyVolumeChanges(state.record, operation, changes).record;
        for (const { type } of changes) happened.push(type);
        return Promise.resolve(state.record);
      },
      confirm: () => {
        happened.push(state.isKept ? 'kept' : 'not kept');
        return state.isKept
          ? Promise.resolve()
          : Promise.reject(lariatError('LEG_UNREACHABLE', 'no member keeps it'));
      },
    };
    const command = (node: string, name: CommandName): Promise<unknown> => {
      if (name !== 'replica.resize') happened.push(name);
      return node === 'n3' && name === 'replica.resize'
        ? Promise.reject(lariatError('REPLICA_NOT_FOUND', 'it is gone'))
        : Promise.resolve({});
    };
    const context = {
      operation: 'op',
      input: { volume: state.record.id, sizeBytes: 2 * 1024 ** 2 },
      memory: {
        fromBytes: 1024 ** 2,
        replicas: state.record.replicas.map(({ id, node }) => ({ id, node })),
        engine: { node: 'n1', epoch: 1 },
      },
      command,
      client: { request: () => Promise.resolve({ state: 'ready' }) },
    } as unknown as ExpandContext;
    const deps = { volumes, clock: { nowMs: () => 1 } } as unknown as SagaDeps;
    return { state, happened, run: () => growUnderEngine(deps, context) };
  }

  it('keeps beside the replicas who has left before the engine goes on without it', async () => {
    const { happened, run } = growth();
    await run();
    expect(happened).toEqual(['fault-replica', 'kept', 'engine.remove-leg']);
  });

  it('leaves the leg in its engine while no member keeps the record, and takes it out when one does', async () => {
    const { state, happened, run } = growth();
    state.isKept = false;
    await expect(run()).rejects.toMatchObject({ code: 'LEG_UNREACHABLE' });
    expect(happened).toEqual(['fault-replica', 'not kept']);
    state.isKept = true;
    await run();
    expect(happened.slice(2)).toEqual(['kept', 'engine.remove-leg']);
  });
});
