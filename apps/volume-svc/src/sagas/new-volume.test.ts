import {
  type CommandMap,
  type VolumeChange,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { deriveVolumeId } from '@lariat/kernel';
import { expect, it } from 'vitest';
import { applyVolumeChanges } from '../domain/apply-change.js';
import { newVolumeRecord } from '../domain/volume-record.test-support.js';
import { cloneVolumeSaga } from './clone-volume.saga.js';
import { createVolumeSaga } from './create-volume.saga.js';
import type { SagaDeps } from './saga-deps.js';

const operation = 'op-1';
const volume = deriveVolumeId(operation);

/** Undoes a creation whose replicas are on n1 and n2; `held`: the revision of the record that n2 keeps. */
async function undo(kind: 'create' | 'clone', held: number | null, stored: VolumeRecord | null) {
  const happened: string[] = [];
  let record = stored;
  const volumes = {
    read: () => Promise.resolve(record === null ? undefined : { value: record, revision: 1 }),
    findFresh: () => Promise.resolve({ value: newVolumeRecord({}), revision: 1 }),
    doubt: (_id: string, reason: string) => {
      if (record !== null) record = { ...record, inDoubt: [reason] };
      return Promise.resolve(record);
    },
    change: (id: string, by: string, changes: readonly VolumeChange[]) => {
      happened.push(...changes.map(({ type }) => type));
      if (id === volume && record !== null) record = applyVolumeChanges(record, by, changes).record;
      return Promise.resolve(record);
    },
    remove: () => Promise.resolve(void happened.push('record removed')),
    names: { release: () => Promise.resolve(void happened.push('name released')) },
  };
  const deps = { volumes, clock: { nowMs: () => 1 } } as unknown as SagaDeps;
  const memory: object = {
    placements: ['1', '2'].map((at) => ({ replica: `r${at}`, node: `n${at}`, disk: `d${at}` })),
  };
  const context = {
    ...{ operation, actor: 'test', attempt: 1, memory },
    input: { name: 'v1', replicas: 2, source: { volume: 'vol-source', snapshot: 's' } },
    client: { request: (subject: string) => Promise.resolve(void happened.push(subject)) },
    command: (node: string, _name: string, input: CommandMap['replica.delete']['input']) => {
      if (node === 'n2' && held !== null && held > (input.record?.revision ?? held))
        return Promise.reject(lariatError('RECORD_STALE', 'it keeps a newer one'));
      happened.push(`${input.replica} deleted`);
      return Promise.resolve({});
    },
    checkpoint: (found: object) => Promise.resolve(void Object.assign(memory, found)),
  };
  const saga = kind === 'create' ? createVolumeSaga(deps) : cloneVolumeSaga(deps);
  const last = saga.steps.findIndex(({ name }) => name === 'finish');
  for (const step of saga.steps.slice(0, last).toReversed()) {
    const request = { node: 'n', state: 'ready' };
    const client = {
      request: (subject: string) =>
        subject === 'node.get' ? Promise.resolve(request) : context.client.request(subject),
    };
    await step.undo?.({ ...context, client } as never);
  }
  return { happened, record: () => record };
}

const creating = newVolumeRecord({ id: volume, state: 'creating', operation, revision: 1 });

it.each(['create', 'clone'] as const)('a %s that is undone leaves nothing', async (kind) => {
  const { happened } = await undo(kind, null, creating);
  for (const gone of ['r1 deleted', 'r2 deleted', 'record removed', 'name released'])
    expect(happened).toContain(gone);
  expect(happened).toContain('internal.placement.release');
  expect(happened.includes('drop-clone')).toBe(kind === 'clone');
});

it.each(['create', 'clone'] as const)(
  'a %s in a store that was set back takes nothing of the volume that it had made',
  async (kind) => {
    const { happened, record } = await undo(kind, 2, creating);
    expect(happened).not.toContain('r2 deleted');
    expect(happened.filter((what) => !what.endsWith(' deleted'))).toEqual(['release']);
    expect(record()).toMatchObject({ operation: null, inDoubt: [expect.stringContaining("'n2'")] });
  },
);

it('nor when the record itself was lost', async () => {
  const { happened } = await undo('create', 1, null);
  expect(happened.filter((what) => !what.endsWith(' deleted'))).toEqual([]);
  expect(happened).not.toContain('r2 deleted');
});
