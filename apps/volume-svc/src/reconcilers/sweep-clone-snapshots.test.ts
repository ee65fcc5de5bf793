import type { CloneRecord, SnapshotRecord } from '@lariat/contracts';
import { expect, it } from 'vitest';
import { newVolumeRecord } from '../domain/volume-record.test-support.js';
import { clonelessSnapshots } from './sweep-clone-snapshots.js';

const snapshot = (id: string, parent: string | null, madeFor?: 'clone'): SnapshotRecord => ({
  id,
  name: id,
  sizeBytes: 1,
  createdAt: '',
  parent,
  user: madeFor === undefined,
  ...(madeFor === undefined ? {} : { madeFor }),
});
const clone: CloneRecord = { volume: 'c', name: 'c', snapshot: 'hidden', state: 'ready' };
const chain = [snapshot('kept', null), snapshot('hidden', 'kept', 'clone')];

it.each([
  ['no clone stands on it', { snapshots: chain, headParent: 'hidden' }, ['hidden']],
  ['one does', { snapshots: chain, headParent: 'hidden', clones: [clone] }, []],
  ['an operation is under way', { snapshots: chain, headParent: 'hidden', operation: 'op-1' }, []],
  ['the volume goes', { snapshots: chain, headParent: 'hidden', state: 'deleting' as const }, []],
  [
    'two of its own stand on it',
    { snapshots: [...chain, snapshot('later', 'hidden')], headParent: 'hidden' },
    [],
  ],
])('%s', (_name, given, swept) => {
  expect(clonelessSnapshots(newVolumeRecord(given))).toEqual(swept);
});
