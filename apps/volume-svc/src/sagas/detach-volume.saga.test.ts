import {
  type CommandName,
  type ErrorCode,
  type VolumeChange,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { expect, it } from 'vitest';
import { applyVolumeChanges } from '../domain/apply-change.js';
import { inSyncOf } from '../domain/replica-changes.js';
import { newVolumeRecord } from '../domain/volume-record.test-support.js';
import { detachVolumeSaga } from './detach-volume.saga.js';
import type { SagaDeps } from './saga-deps.js';

/** The engine ends with `inStep`; `state.refusal`: why its record is not kept. */
function stop(inStep: readonly string[] | null) {
  const state = {
    record: newVolumeRecord({ operation: 'op', state: 'detaching' }),
    refusal: null as ErrorCode | null,
    nodes: 'ready',
    kept: [] as VolumeRecord[],
  };
  const volumes = {
    change: (
      _id: string,
      operation: string,
      decide: (record: VolumeRecord) => readonly VolumeChange[],
    ) => {
      state.record = applyVolumeChanges(state.record, operation, decide(state.record)).record;
      return Promise.resolve(state.record);
    },
    confirm: (record: VolumeRecord) => {
      if (state.refusal !== null) return Promise.reject(lariatError(state.refusal, 'not kept'));
      state.kept.push(record);
      return Promise.resolve();
    },
  };
  const deps = { volumes, clock: { nowMs: () => 1 } } as unknown as SagaDeps;
  const step = detachVolumeSaga(deps).steps.find(({ name }) => name === 'stop-engine');
  const context = {
    operation: 'op',
    input: { volume: state.record.id },
    memory: { node: 'n1', epoch: 1, inSync: inSyncOf(state.record) },
    command: (_node: string, name: CommandName) =>
      name === 'engine.stop' ? Promise.resolve({ inStep }) : Promise.reject(new Error(name)),
    client: { request: () => Promise.resolve({ state: state.nodes }) },
  };
  return { state, run: () => step?.run(context as never) };
}

it('keeps beside the others whom the engine has ended without, before the volume is detached', async () => {
  const { state, run } = stop(['r1', 'r2']);
  expect(await run()).toEqual({ inStep: ['r1', 'r2'] });
  expect(state.kept.map(inSyncOf)).toEqual([['r1', 'r2']]);
});

it('asks no node when all legs have been in step, or nothing is known of them', async () => {
  for (const inStep of [['r1', 'r2', 'r3'], null]) {
    const { state, run } = stop(inStep);
    await run();
    expect(state.kept).toEqual([]);
    expect(inSyncOf(state.record)).toHaveLength(3);
  }
});

it('goes no further while no member keeps it, and on the next run does not take it for kept', async () => {
  const { state, run } = stop(['r1', 'r2']);
  state.refusal = 'LEG_UNREACHABLE';
  await expect(run()).rejects.toMatchObject({ code: 'LEG_UNREACHABLE' });
  state.refusal = null;
  await run();
  expect(state.kept.map(inSyncOf)).toEqual([['r1', 'r2']]);
});

it('does not wait for members that are declared gone', async () => {
  const { state, run } = stop(['r1', 'r2']);
  state.refusal = 'LEG_UNREACHABLE';
  state.nodes = 'down';
  expect(await run()).toEqual({ inStep: ['r1', 'r2'] });
  expect(inSyncOf(state.record)).toEqual(['r1', 'r2']);
});

it('ends when the volume is in doubt: a recovery waits for it', async () => {
  const { state, run } = stop(['r1', 'r2']);
  state.refusal = 'VOLUME_IN_DOUBT';
  expect(await run()).toEqual({ inStep: ['r1', 'r2'] });
});
