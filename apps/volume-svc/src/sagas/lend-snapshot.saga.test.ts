import {
  type CommandName,
  type VolumeChange,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { deriveSnapshotId } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { applyVolumeChanges } from '../domain/apply-change.js';
import { newVolumeRecord } from '../domain/volume-record.test-support.js';
import { lendSnapshotSaga } from './lend-snapshot.saga.js';
import type { SagaDeps } from './saga-deps.js';

const HIDDEN = deriveSnapshotId('op-lend');
const named = {
  id: 's1',
  name: 'one',
  sizeBytes: 1024 ** 2,
  createdAt: '',
  parent: null,
  user: true,
};
const loan = {
  kind: 'image',
  volume: 'img-1',
  name: 'gold',
  operation: 'op-import',
  state: 'creating',
};

describe('a snapshot that is lent to the import of an image', () => {
  let record: VolumeRecord;
  let sent: string[];
  beforeEach(() => {
    record = newVolumeRecord({ snapshots: [named], headParent: 's1' });
    sent = [];
  });

  const deps = {
    clock: { nowMs: () => 1 },
    volumes: {
      find: () => Promise.resolve(record),
      findFresh: () => Promise.resolve({ value: record, revision: 1 }),
      change: async (
        _id: string,
        by: string,
        decide: readonly VolumeChange[] | ((now: VolumeRecord) => readonly VolumeChange[]),
      ) => {
        await Promise.resolve();
        const changes = typeof decide === 'function' ? decide(record) : decide;
        record = applyVolumeChanges(record, by, changes).record;
        return record;
      },
    },
  } as unknown as SagaDeps;
  const [step] = lendSnapshotSaga(deps).steps;
  const contextOf = (snapshot: string | null, refuses?: CommandName): never =>
    ({
      ...{ operation: 'op-lend', actor: 'test', attempt: 1, memory: {}, undoneFor: null },
      input: { volume: record.id, snapshot, image: 'img-1', name: 'gold', borrower: 'op-import' },
      client: { request: () => Promise.resolve({ state: 'ready' }) },
      log: { info: () => undefined },
      command: async (node: string, name: CommandName) => {
        await Promise.resolve();
        sent.push(`${name} to ${node}`);
        if (name === refuses) throw lariatError('TARGET_UNAVAILABLE', 'as the test says');
      },
    }) as never;

  it('is the one that was named, and no node is asked', async () => {
    expect(await step?.run(contextOf('s1'))).toEqual({ lent: named });
    expect(record).toMatchObject({ operation: null, clones: [{ ...loan, snapshot: 's1' }] });
    expect(sent).toEqual([]);
  });

  it('is taken on all replicas where none was named, once, also when it is asked for again', async () => {
    const lent = await step?.run(contextOf(null));
    expect(lent).toMatchObject({ lent: { id: HIDDEN, user: false, madeFor: 'clone' } });
    expect(record).toMatchObject({ operation: null, clones: [{ ...loan, snapshot: HIDDEN }] });
    expect(sent).toEqual(['n1', 'n2', 'n3'].map((node) => `snapshot.create to ${node}`));
    expect(await step?.run(contextOf(null))).toEqual(lent);
    expect(sent).toHaveLength(3);
  });

  it('is taken back, and forgotten, when it is undone half way', async () => {
    const before = record;
    await expect(step?.run(contextOf(null, 'snapshot.create'))).rejects.toMatchObject({
      code: 'TARGET_UNAVAILABLE',
    });
    expect(record.operation).toBe('op-lend');
    await step?.undo?.(contextOf(null));
    expect(sent.slice(3)).toEqual(['n1', 'n2', 'n3'].map((node) => `snapshot.delete to ${node}`));
    expect(record).toEqual({ ...before, revision: record.revision });
  });

  it.each([
    ['VOLUME_FAULTED', { replicas: [] }, null],
    ['VOLUME_BUSY', { state: 'deleting' }, null],
    ['OPERATION_IN_PROGRESS', { operation: 'op-other' }, null],
    ['SNAPSHOT_NOT_FOUND', {}, 'gone'],
  ] as const)(
    'is refused with %s, and the volume stays as it is',
    async (code, given, snapshot) => {
      record = { ...record, ...given };
      const before = record;
      await expect(step?.run(contextOf(snapshot))).rejects.toMatchObject({ code });
      await step?.undo?.(contextOf(snapshot));
      expect(record).toMatchObject(before);
      expect(sent).toEqual([]);
    },
  );
});
