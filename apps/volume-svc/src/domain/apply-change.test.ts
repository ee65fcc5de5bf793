import type { RebuildControl, VolumeChange, VolumeRecord } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyVolumeChanges } from './apply-change.js';
import { inSyncOf } from './replica-changes.js';
import { newReplica, newVolumeRecord } from './volume-record.test-support.js';

const OPERATION = 'op-1';
const held = newVolumeRecord({ operation: OPERATION });

const codeOf = (run: () => unknown): string => {
  try {
    run();
    return 'none';
  } catch (error) {
    return toLariatError(error).code;
  }
};

const change: fc.Arbitrary<VolumeChange> = fc.oneof(
  fc.constantFrom<VolumeChange>(
    { type: 'transition', event: 'attach' },
    { type: 'transition', event: 'attached' },
    { type: 'transition', event: 'detach' },
    { type: 'transition', event: 'detached' },
    { type: 'set-clean', clean: false },
    { type: 'set-attachment', attachment: null },
    { type: 'claim', operation: OPERATION },
    { type: 'drop-snapshot', snapshot: 'snap-a' },
  ),
  fc.constantFrom('r1', 'r2', 'r3', 'r9').chain((replica) =>
    fc.constantFrom<VolumeChange>(
      { type: 'fault-replica', replica, reason: 'why', atMs: 1 },
      { type: 'drop-replica', replica },
      { type: 'retire-replica', replica },
      { type: 'sync-replica', replica },
      {
        type: 'put-replica',
        replica: {
          id: replica,
          node: 'n',
          disk: 'd',
          mode: 'WO',
          state: 'rebuilding',
          lvolUuid: null,
          reason: null,
          faultedAtMs: null,
        },
      },
    ),
  ),
  fc.integer({ min: 0, max: 9 }).map((epoch): VolumeChange => ({ type: 'raise-epoch', epoch })),
);

describe('changes of a volume', () => {
  it('never take away the last replica that holds all acknowledged writes', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
        let record: VolumeRecord = held;
        for (const one of changes) {
          try {
            record = applyVolumeChanges(record, OPERATION, [one]).record;
          } catch {
            // Refused: the record stays as it was.
          }
          expect(inSyncOf(record).length).toBeGreaterThan(0);
        }
      }),
    );
  });

  it('keep the in-sync set of the attachment equal to the replicas that are RW', () => {
    const attached = newVolumeRecord({
      operation: OPERATION,
      state: 'attached',
      attachment: {
        epoch: 1,
        node: 'n1',
        frontend: 'nbd',
        endpoint: 'e',
        engine: null,
        seizedFrom: null,
        inSync: ['r1', 'r2', 'r3'],
      },
    });
    const { record } = applyVolumeChanges(attached, null, [
      { type: 'fault-replica', replica: 'r2', reason: 'x', atMs: 5 },
    ]);
    expect(record.attachment?.inSync).toEqual(['r1', 'r3']);
    expect(record.replicas[1]).toMatchObject({
      mode: 'ERR',
      state: 'faulted',
      reason: 'x',
      faultedAtMs: 5,
    });
  });

  it('give the same record when a resumed saga sends them again', () => {
    fc.assert(
      fc.property(change, (one) => {
        let once: VolumeRecord;
        try {
          once = applyVolumeChanges(held, OPERATION, [one]).record;
        } catch {
          return;
        }
        expect(applyVolumeChanges(once, OPERATION, [one]).record).toEqual(once);
      }),
    );
  });

  it('keep a replica that is being removed on record, without counting it, until it is dropped', () => {
    const after = (...changes: VolumeChange[]): VolumeRecord =>
      applyVolumeChanges(held, OPERATION, changes).record;
    const retire: VolumeChange = { type: 'retire-replica', replica: 'r2' };
    const retired = after(retire);
    expect(retired.replicas[1]).toMatchObject({ id: 'r2', mode: 'WO', state: 'removing' });
    expect(inSyncOf(retired)).toEqual(['r1', 'r3']);
    // Its engine did not let go of it.
    expect(after(retire, { type: 'sync-replica', replica: 'r2' })).toEqual(held);
    expect(after(retire, { type: 'drop-replica', replica: 'r2' }).replicas).toHaveLength(2);
    const fault: VolumeChange = { type: 'fault-replica', replica: 'r2', reason: 'x', atMs: 1 };
    expect(after(fault, retire).replicas.map(({ id }) => id)).toEqual(['r1', 'r3']);
    // It was lost while it was on its way out: then it never counts again.
    expect(codeOf(() => after(retire, fault, { type: 'sync-replica', replica: 'r2' }))).toBe(
      'VOLUME_BUSY',
    );
  });

  it('put no replica on record that counts at once, but in a new volume', () => {
    const put = (replica: string, given: Partial<VolumeRecord>): string =>
      codeOf(() =>
        applyVolumeChanges({ ...held, ...given }, OPERATION, [
          { type: 'put-replica', replica: newReplica(replica, 'n1') },
        ]),
      );
    expect(put('r9', { state: 'creating' })).toBe('none');
    expect(put('r1', { state: 'creating' })).toBe('none');
    for (const state of ['detached', 'attaching', 'attached', 'detaching'] as const)
      expect([put('r9', { state }), put('r1', { state })]).toEqual([
        'REQUEST_INVALID',
        'REQUEST_INVALID',
      ]);
  });

  it('are made together or not at all', () => {
    const changes: VolumeChange[] = [
      { type: 'fault-replica', replica: 'r1', reason: 'x', atMs: 1 },
      { type: 'fault-replica', replica: 'r2', reason: 'x', atMs: 1 },
      { type: 'fault-replica', replica: 'r3', reason: 'x', atMs: 1 },
    ];
    expect(codeOf(() => applyVolumeChanges(held, OPERATION, changes))).toBe('LAST_REPLICA');
    expect(inSyncOf(held)).toHaveLength(3);
  });

  it('belong to the operation that holds the volume', () => {
    const claim = (operation: string): VolumeChange[] => [{ type: 'claim', operation }];
    expect(codeOf(() => applyVolumeChanges(held, 'op-2', claim('op-2')))).toBe(
      'OPERATION_IN_PROGRESS',
    );
    expect(codeOf(() => applyVolumeChanges(held, 'op-2', [{ type: 'resize', sizeBytes: 1 }]))).toBe(
      'COMMAND_FENCED',
    );
    const free = newVolumeRecord({});
    expect(codeOf(() => applyVolumeChanges(free, 'op-2', [{ type: 'resize', sizeBytes: 1 }]))).toBe(
      'COMMAND_FENCED',
    );
    expect(applyVolumeChanges(free, 'op-2', claim('op-2')).record.operation).toBe('op-2');
    // A release that comes twice harms nobody who came after.
    expect(
      applyVolumeChanges(held, 'op-2', [{ type: 'release', operation: 'op-2' }]).record.operation,
    ).toBe(OPERATION);
  });

  it('tell of a change of robustness', () => {
    const { events } = applyVolumeChanges(held, OPERATION, [
      { type: 'fault-replica', replica: 'r1', reason: 'x', atMs: 1 },
    ]);
    expect(events.map(({ type }) => type)).toEqual(['replica-faulted', 'degraded']);
  });

  it('refuse a transition that the state does not allow', () => {
    expect(
      codeOf(() =>
        applyVolumeChanges(held, OPERATION, [{ type: 'transition', event: 'attached' }]),
      ),
    ).toBe('VOLUME_BUSY');
  });

  it('take a wish about rebuilds whoever holds the volume, and keep what is not asked', () => {
    const asked = (record: VolumeRecord, control: Partial<RebuildControl>) =>
      applyVolumeChanges(record, 'another', [{ type: 'control-rebuild', control }]);
    const limited = asked(held, { mibPerSecond: 5 });
    expect(limited.record.rebuild).toEqual({ paused: false, mibPerSecond: 5 });
    expect(limited.events).toEqual([{ type: 'rebuild-controlled', data: { mibPerSecond: 5 } }]);
    const paused = asked(limited.record, { paused: true }).record;
    expect(paused.rebuild).toEqual({ paused: true, mibPerSecond: 5 });
    expect(asked(paused, { paused: true }).events).toEqual([]);
    expect(paused.operation).toBe(OPERATION);
  });

  it('hang the children of a dropped snapshot on its parent', () => {
    const snapshot = (id: string, parent: string | null) => ({
      id,
      name: id,
      sizeBytes: 1,
      createdAt: '',
      parent,
      user: true,
    });
    const tree = newVolumeRecord({
      operation: OPERATION,
      snapshots: [snapshot('a', null), snapshot('b', 'a'), snapshot('c', 'b')],
      headParent: 'b',
    });
    const { record } = applyVolumeChanges(tree, OPERATION, [
      { type: 'drop-snapshot', snapshot: 'b' },
    ]);
    expect(record.snapshots.map(({ id, parent }) => [id, parent])).toEqual([
      ['a', null],
      ['c', 'a'],
    ]);
    expect(record.headParent).toBe('a');
  });
});

describe('clones of a volume', () => {
  const clone = (volume: string) => ({
    type: 'put-clone' as const,
    clone: { volume, name: volume, snapshot: 's', state: 'creating' as const },
  });
  const noted = applyVolumeChanges(held, OPERATION, [clone('c1'), clone('c2'), clone('c1')]);

  it('are noted once, under the hold of the operation that makes them', () => {
    expect(noted.record.clones?.map(({ volume }) => volume)).toEqual(['c2', 'c1']);
    expect(codeOf(() => applyVolumeChanges(held, 'op-other', [clone('c1')]))).toBe(
      'COMMAND_FENCED',
    );
  });

  it('settle and go whoever holds the volume, twice as well as once', () => {
    const settled = applyVolumeChanges(noted.record, 'op-clone', [
      { type: 'settle-clone', volume: 'c1' },
      { type: 'settle-clone', volume: 'c1' },
      { type: 'settle-clone', volume: 'unknown' },
    ]);
    expect(settled.record.clones?.find(({ volume }) => volume === 'c1')?.state).toBe('ready');
    const gone = applyVolumeChanges(settled.record, null, [
      { type: 'drop-clone', volume: 'c1' },
      { type: 'drop-clone', volume: 'c2' },
      { type: 'drop-clone', volume: 'c2' },
    ]);
    expect(gone.record.clones).toBeUndefined();
    expect(gone.events.map(({ type }) => type)).toEqual(['clone-dropped', 'clone-dropped']);
  });
});

it('keeps the first checksum that was found of a snapshot', () => {
  const record = newVolumeRecord({
    operation: OPERATION,
    snapshots: [{ id: 's', name: 's', sizeBytes: 1, createdAt: '', parent: null, user: true }],
  });
  const { record: after, events } = applyVolumeChanges(record, OPERATION, [
    { type: 'set-checksum', snapshot: 's', sha256: 'a' },
    { type: 'set-checksum', snapshot: 's', sha256: 'b' },
    { type: 'set-checksum', snapshot: 'unknown', sha256: 'c' },
  ]);
  expect(after.snapshots.map(({ sha256 }) => sha256)).toEqual(['a']);
  expect(events).toEqual([{ type: 'snapshot-verified', data: { snapshot: 's', sha256: 'a' } }]);
});

describe('a revert', () => {
  const operation = 'op-1';
  const held = newVolumeRecord({ operation });
  const begin: VolumeChange = { type: 'begin-revert', operation, snapshot: 's' };
  const doubt: VolumeChange = { type: 'doubt-revert', reason: 'all were lost' };
  const after = (...changes: readonly VolumeChange[]) =>
    applyVolumeChanges(held, operation, changes).record;

  it('is on record from before the first head is replaced until all were, or none', () => {
    expect(after(begin, begin).reverting).toEqual({ operation, snapshot: 's' });
    expect(after(begin, { type: 'revert', snapshot: 's' })).toEqual({ ...held, headParent: 's' });
    expect(after(begin, { type: 'abandon-revert' })).toEqual(held);
  });

  it('puts the volume in doubt when it is given up, and may still let it go', () => {
    const record = after(begin, doubt, doubt, { type: 'release', operation });
    const reverting = { operation, snapshot: 's', isUnknown: true };
    expect(record).toEqual({ ...held, operation: null, reverting, inDoubt: ['all were lost'] });
  });

  it('says nothing of a volume that is in doubt already: its copies decide', () => {
    const setBack = { ...after(begin), inDoubt: ['the store was set back'] };
    expect(applyVolumeChanges(setBack, operation, [doubt]).record).toBe(setBack);
  });
});
