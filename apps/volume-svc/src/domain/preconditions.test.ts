import { toLariatError } from '@lariat/kernel';
import { expect, it } from 'vitest';
import {
  MAX_SNAPSHOTS,
  assertCanAttach,
  assertCanClone,
  assertCanDelete,
  assertCanDeleteSnapshot,
  assertCanDetach,
  assertCanExpand,
  assertCanRevert,
  assertCanSnapshot,
  findSnapshot,
} from './preconditions.js';
import { newReplica, newVolumeRecord } from './volume-record.test-support.js';

const attached = newVolumeRecord({
  state: 'attached',
  attachment: {
    epoch: 1,
    node: 'n1',
    frontend: 'nbd',
    endpoint: null,
    engine: null,
    seizedFrom: null,
    inSync: ['r1'],
  },
});
const attachedForHost = newVolumeRecord({
  ...attached,
  attachment: {
    ...{ epoch: 1, node: 'n1', frontend: 'nvmf', endpoint: null, engine: null },
    ...{ hostNqns: ['nqn.2026-11.io.example:a'], seizedFrom: null, inSync: ['r1'] },
  },
});
const free = newVolumeRecord({});
const busy = newVolumeRecord({ operation: 'op-1' });
const faulted = newVolumeRecord({ replicas: [{ ...newReplica('r1', 'n1'), mode: 'ERR' }] });
const snapshot = (id: string, parent: string | null) => ({
  id,
  name: id,
  sizeBytes: 1,
  createdAt: '',
  parent,
  user: true,
});
const cloned = newVolumeRecord({
  snapshots: [snapshot('a', null)],
  headParent: 'a',
  clones: [{ volume: 'vol-c', name: 'copy', snapshot: 'a', state: 'ready' }],
});
const cloning = newVolumeRecord({
  clones: [{ volume: 'vol-c', name: 'copy', snapshot: 'a', state: 'creating' }],
});
const forked = newVolumeRecord({
  snapshots: [snapshot('a', null), snapshot('b', 'a')],
  headParent: 'a',
});

it.each([
  ['VOLUME_ATTACHED', () => assertCanDelete(attached, null)],
  ['OPERATION_IN_PROGRESS', () => assertCanDelete(busy, null)],
  ['accepted', () => assertCanDelete(busy, 'op-1')],
  ['accepted', () => assertCanDelete(free, null)],
  [
    'VOLUME_ATTACHED_ELSEWHERE',
    () => assertCanAttach(attached, null, { node: 'n2', force: false }),
  ],
  ['accepted', () => assertCanAttach(attached, null, { node: 'n2', force: true })],
  ['VOLUME_ATTACHED', () => assertCanAttach(attached, null, { node: 'n1', force: true })],
  ['OPERATION_IN_PROGRESS', () => assertCanAttach(busy, null, { node: 'n1', force: false })],
  ['VOLUME_FAULTED', () => assertCanAttach(faulted, null, { node: 'n1', force: false })],
  ['accepted', () => assertCanAttach(free, null, { node: 'n1', force: false })],
  ['VOLUME_NOT_ATTACHED', () => assertCanDetach(free, null)],
  ['accepted', () => assertCanDetach(attached, null)],
  ['accepted', () => assertCanExpand(attached, null, 2 ** 30)],
  ['VOLUME_FAULTED', () => assertCanExpand(faulted, null, 2 ** 30)],
  ['VOLUME_SHRINK', () => assertCanExpand(free, null, 1)],
  ['accepted', () => assertCanExpand(free, null, 2 ** 30)],
  ['SNAPSHOT_NAME_TAKEN', () => assertCanSnapshot(forked, null, null, 'a')],
  ['accepted', () => assertCanSnapshot(forked, null, 'a', 'a')],
  [
    'SNAPSHOT_LIMIT',
    () => {
      const snapshots = Array.from({ length: MAX_SNAPSHOTS }, (_, index) =>
        snapshot(`s${index}`, null),
      );
      assertCanSnapshot(newVolumeRecord({ snapshots }), null, null, 'one-more');
    },
  ],
  ['VOLUME_FAULTED', () => assertCanSnapshot(faulted, null, null, 'x')],
  ['SNAPSHOT_IN_USE', () => assertCanDeleteSnapshot(forked, null, snapshot('a', null))],
  ['accepted', () => assertCanDeleteSnapshot(forked, null, snapshot('b', 'a'))],
  ['SNAPSHOT_IN_USE', () => assertCanDeleteSnapshot(cloned, null, snapshot('a', null))],
  ['accepted', () => assertCanDelete(cloned, null)],
  ['CLONE_IN_PROGRESS', () => assertCanDelete(cloning, null)],
  ['accepted', () => assertCanClone(free, null, null)],
  ['accepted', () => assertCanClone(attached, null, null)],
  ['accepted', () => assertCanClone(forked, null, 'a')],
  ['SNAPSHOT_NOT_FOUND', () => assertCanClone(free, null, 'a')],
  ['OPERATION_IN_PROGRESS', () => assertCanClone(busy, null, null)],
  ['VOLUME_FAULTED', () => assertCanClone(faulted, null, null)],
  ['VOLUME_BUSY', () => assertCanClone(newVolumeRecord({ state: 'deleting' }), null, null)],
  ['VOLUME_ATTACHED', () => assertCanRevert(attached, null)],
  ['accepted', () => assertCanRevert(free, null)],
  ['SNAPSHOT_NOT_FOUND', () => findSnapshot(forked, 'z')],
  ['accepted', () => findSnapshot(forked, 'b')],
])('%s (%#)', (code, check) => {
  expect(outcomeOf(check)).toMatchObject({ code });
});

it('says for which hosts a volume is attached, where another one is asked for', () => {
  const { code, message } = outcomeOf(() =>
    assertCanAttach(attachedForHost, null, { node: 'n1', force: true }),
  );
  expect(code).toBe('VOLUME_ATTACHED');
  expect(message).toContain("with frontend 'nvmf' for nqn.2026-11.io.example:a: detach it first");
});

function outcomeOf(check: () => unknown): { readonly code: string; readonly message: string } {
  try {
    check();
  } catch (error) {
    return toLariatError(error);
  }
  return { code: 'accepted', message: '' };
}
