import {
  type ErrorCode,
  type VolumeChange,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { expect, it } from 'vitest';
import { applyVolumeChanges } from '../domain/apply-change.js';
import { inSyncOf } from '../domain/replica-changes.js';
import { newVolumeRecord } from '../domain/volume-record.test-support.js';
import { revertSnapshotSaga } from './revert-snapshot.saga.js';
import type { SagaDeps } from './saga-deps.js';

/** `refusals`: what each node answers; null: it does as it is told. */
function scene(refusals: readonly (ErrorCode | null)[], nodes = 'down') {
  const begun: VolumeChange = { type: 'begin-revert', operation: 'op', snapshot: 's' };
  const state = {
    record: applyVolumeChanges(newVolumeRecord({ operation: 'op' }), 'op', [begun]).record,
    kept: [] as VolumeRecord[],
  };
  const volumes = {
    change: (
      _id: string,
      operation: string,
      decide: readonly VolumeChange[] | ((record: VolumeRecord) => readonly VolumeChange[]),
    ) => {
      const changes = typeof decide === 'function' ? decide(state.record) : decide;
      state.record = applyVolumeChanges(state.record, operation, changes).record;
      return Promise.resolve(state.record);
    },
    confirm: (record: VolumeRecord) => {
      state.kept.push(record);
      return Promise.resolve();
    },
  };
  const deps = { volumes, clock: { nowMs: () => 1 } } as unknown as SagaDeps;
  const memory: Record<string, unknown> = {
    sizeBytes: 1,
    replicas: state.record.replicas.map(({ id, node }) => ({ id, node })),
  };
  const context = {
    ...{ operation: 'op', input: { volume: state.record.id, snapshot: 's' }, memory },
    command: (node: string) => {
      const refusal = refusals[Number(node.slice(1)) - 1] ?? null;
      return refusal === null
        ? Promise.resolve({ lvolUuid: 'u' })
        : Promise.reject(lariatError(refusal, `${node} refuses`));
    },
    client: { request: () => Promise.resolve({ state: nodes }) },
  };
  const stepOf = (name: string) => {
    const found = revertSnapshotSaga(deps).steps.find((step) => step.name === name);
    if (found === undefined) throw new Error(`there is no step ${name}`);
    return found;
  };
  const run = async (name: string): Promise<void> => {
    Object.assign(memory, await stepOf(name).run(context as never));
  };
  const undo = (name: string) => stepOf(name).undo?.(context as never);
  return { state, run, undo };
}

it('is kept beside a replica before any head is replaced, and taken back when none was', async () => {
  const { state, run, undo } = scene([]);
  await run('begin');
  expect(state.kept).toEqual([state.record]);
  expect(state.record.reverting?.operation).toBe('op');
  await undo('begin');
  expect(state.record.reverting).toBeUndefined();
});

it('goes on without a replica whose node is declared gone, or has it no more', async () => {
  const { state, run } = scene([null, 'DEADLINE_EXCEEDED', 'REPLICA_NOT_FOUND']);
  await run('revert');
  expect(state.kept.map(inSyncOf)).toEqual([['r1']]);
  await run('judge');
  await run('finish').catch(() => undefined);
  expect(state.record).toMatchObject({ headParent: 's', operation: null });
});

it('waits for a node that may be back, and for what a replica refuses to be over', async () => {
  const suspect = scene([null, 'DEADLINE_EXCEEDED'], 'suspect');
  await expect(suspect.run('revert')).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  const busy = scene([null, 'VOLUME_BUSY']);
  await expect(busy.run('revert')).rejects.toMatchObject({ code: 'VOLUME_BUSY' });
});

it('fails when all replicas were lost meanwhile, and leaves the volume to a recovery', async () => {
  const gone = 'DEADLINE_EXCEEDED';
  const { state, run, undo } = scene([gone, gone, gone]);
  await run('revert');
  await expect(run('judge')).rejects.toMatchObject({ code: 'VOLUME_IN_DOUBT' });
  await undo('begin');
  await undo('claim');
  expect(state.record).toMatchObject({
    ...{ operation: null, headParent: null, reverting: { operation: 'op', isUnknown: true } },
    inDoubt: [expect.stringContaining('which have made it is not known')],
  });
  expect(inSyncOf(state.record)).toHaveLength(3);
});
