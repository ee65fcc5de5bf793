import type { SnapshotRecord, VolumeRecord } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { inSyncOf } from '../replica-changes.js';
import { type NodeAnswer, evidenceByVolume, hearingOf } from './evidence.js';
import { type PlanContext, type VolumePlan, planVolume } from './plan-volume.js';
import {
  NO_HEAD,
  VOLUME,
  answers,
  found,
  silent,
  tells,
  withModes,
} from './recovery.test-support.js';

function plan(heard: readonly NodeAnswer[], given: Partial<PlanContext> = {}): VolumePlan {
  const [evidence] = evidenceByVolume(heard);
  if (evidence === undefined) throw new Error('nobody tells of a volume');
  const context = { stored: undefined, wasDeleted: false, acceptDataLoss: false, nowMs: 7 };
  return planVolume(evidence, { hearing: hearingOf(heard), ...context, ...given });
}
const notesOf = (result: VolumePlan): string => ('notes' in result ? result.notes.join('; ') : '');
function recordOf(result: VolumePlan): VolumeRecord {
  if (result.kind === 'deleted' || result.record === null) throw new Error(JSON.stringify(result));
  return result.record;
}

const all = withModes(['RW', 'RW', 'RW']);
const everyone = (record: VolumeRecord): readonly NodeAnswer[] =>
  ['1', '2', '3'].map((at) => tells(`n${at}`, record, [found(`r${at}`)]));

describe('a volume that the store has lost', () => {
  it('is put back as it was, above everything that was written before', () => {
    const result = plan(everyone(all));
    expect(result).toMatchObject({ kind: 'put-back', tasks: [] });
    expect(recordOf(result)).toEqual({ ...all, generation: 1, revision: 11 });
  });

  it('is put back with the image that it stands on', () => {
    const result = plan(everyone(withModes(['RW', 'RW', 'RW'], { image: 'img-1' })));
    expect(recordOf(result)).toMatchObject({ image: 'img-1' });
  });

  it('goes by the newest record, and a replica that its own node takes for a member is not one any more', () => {
    const later = withModes(['RW', 'RW', 'ERR'], { revision: 12 });
    const result = plan([
      tells('n1', later, [found('r1')]),
      tells('n2', all, [found('r2')]),
      tells('n3', all, [found('r3')]),
    ]);
    expect(result.kind).toBe('put-back');
    expect(inSyncOf(recordOf(result))).toEqual(['r1', 'r2']);
    expect(recordOf(result).replicas[2]).toMatchObject({ mode: 'ERR', reason: 'lost' });
  });

  it('needs no node whose replica had left the in-sync set', () => {
    const degraded = withModes(['RW', 'RW', 'ERR']);
    const result = plan([
      tells('n1', degraded, [found('r1')]),
      tells('n2', degraded, [found('r2')]),
      silent('n3'),
    ]);
    expect(result.kind).toBe('put-back');
    expect(inSyncOf(recordOf(result))).toEqual(['r1', 'r2']);
  });

  it.each<[string, NodeAnswer, RegExp]>([
    ['does not answer', silent('n3'), /'n3'.*r3.*down/],
    ['has lost the replica', tells('n3', null, []), /'n3' answers.*r3 is not there/],
    [
      'cannot see it',
      tells('n3', all, [
        found('r3', [], {
          head: { ...NO_HEAD, presence: 'unknown' },
        }),
      ]),
      /'n3' can't see replica r3/,
    ],
  ])(
    'is in doubt when a member of its in-sync set %s: that one may have gone on alone',
    (_, answer, why) => {
      const heard = [tells('n1', all, [found('r1')]), tells('n2', all, [found('r2')]), answer];
      const result = plan(heard);
      expect(result.kind).toBe('in-doubt');
      expect(notesOf(result)).toMatch(why);
      // What was found stays as it is, for the next try.
      expect(recordOf(result)).toMatchObject({
        revision: 10,
        replicas: all.replicas,
        clean: false,
      });
      expect(recordOf(result).inDoubt).toHaveLength(1);

      const accepted = plan(heard, { acceptDataLoss: true });
      expect(accepted.kind).toBe('put-back');
      expect(inSyncOf(recordOf(accepted))).toEqual(['r1', 'r2']);
      // One of them is chosen at the next attach, the other resynced.
      expect(recordOf(accepted).clean).toBe(false);
      expect(recordOf(accepted).inDoubt).toBeUndefined();
    },
  );

  it('is in doubt when a replica that was becoming a member does not answer', () => {
    const joining = withModes(['RW', 'RW', 'WO']);
    const two = [tells('n1', joining, [found('r1')]), tells('n2', joining, [found('r2')])];
    expect(plan([...two, silent('n3')]).kind).toBe('in-doubt');
    expect(plan([...two, answers('n3')]).kind).toBe('put-back');
    // Installed anew: it may have had the replica, and the replica may have become the only one.
    expect(plan([...two, { ...answers('n3'), disks: [] }]).kind).toBe('in-doubt');
  });

  it('is put back when a lost replica that was to be reused has no head yet', () => {
    const returning = withModes(['RW', 'RW', 'WO']);
    const three = tells('n3', returning, [found('r3', ['stale-head'], { head: NO_HEAD })]);
    const result = plan([...everyone(returning).slice(0, 2), three]);
    expect(result.kind).toBe('put-back');
    expect(inSyncOf(recordOf(result))).toEqual(['r1', 'r2']);
    expect(recordOf(result).replicas[2]).toMatchObject({ mode: 'ERR', state: 'faulted' });
    // What its disk has now can't be told from what it had.
    const unseen = found('r3', [], { head: { ...NO_HEAD, presence: 'unknown' } });
    const unknown = plan([...everyone(returning).slice(0, 2), tells('n3', returning, [unseen])]);
    expect(unknown.kind).toBe('in-doubt');
  });

  it('is settled when it was in doubt and its last node is back', () => {
    const doubtful = recordOf(plan([...everyone(all).slice(0, 2), silent('n3')]));
    const result = plan(everyone(all), { stored: doubtful });
    expect(result.kind).toBe('put-back');
    expect(recordOf(result)).toEqual({ ...all, generation: 1, revision: 11 });
  });

  it('is in doubt when two nodes keep different records at the same place', () => {
    const [one, two, three] = everyone(all);
    const other = tells('n2', { ...all, name: 'other' }, [found('r2')]);
    expect(two).toBeDefined();
    const result = plan([one, other, three].flatMap((answer) => answer ?? []));
    expect(result.kind).toBe('in-doubt');
    expect(notesOf(result)).toContain('reads differently');
  });

  it('is in doubt when an engine runs in an epoch that no record knows', () => {
    const [one, two] = everyone(all);
    const engine = { volume: VOLUME, epoch: 5, operational: ['r3'], lost: [] };
    const three = tells('n3', all, [found('r3')], { engine, epoch: 5 });
    const result = plan([one, two, three].flatMap((answer) => answer ?? []));
    expect(result.kind).toBe('in-doubt');
    expect(notesOf(result)).toContain('epoch 5');
  });

  it('has the highest epoch that any agent has seen: the next attach is above it', () => {
    const [one, two, three] = everyone(all);
    const ahead = tells('n2', all, [found('r2')], { epoch: 9 });
    expect(two).toBeDefined();
    const result = plan([one, ahead, three].flatMap((answer) => answer ?? []));
    expect(recordOf(result).epoch).toBe(9);
  });

  it('is faulted when no replica is left that counts, also when loss is accepted', () => {
    const result = plan([tells('n1', all, []), silent('n2'), silent('n3')], {
      acceptDataLoss: true,
    });
    expect(result.kind).toBe('in-doubt');
    expect(notesOf(result)).toContain('no replica is left');
  });

  it('is left alone without any record: nothing tells what the replica is', () => {
    const result = plan([tells('n1', null, [found('r1')])]);
    expect(result).toMatchObject({ kind: 'left', record: null });
    expect(notesOf(result)).toContain('r1 on n1');
  });

  it('that was deleted, or whose last replica is gone, is not put back', () => {
    expect(plan(everyone(all), { wasDeleted: true }).kind).toBe('deleted');
    const gone = ['n1', 'n2', 'n3'].map((node) => tells(node, node === 'n1' ? all : null, []));
    expect(plan(gone).kind).toBe('left');
  });

  it('that was being deleted is put back as that, and nothing of it is taken away', () => {
    const result = plan(everyone({ ...all, state: 'deleting', operation: 'op' }));
    expect(result).toMatchObject({ kind: 'put-back', tasks: [] });
    expect(recordOf(result)).toMatchObject({ state: 'deleting', operation: null });
  });
});

describe('a volume that the store has', () => {
  it('is as it should be when no node knows more', () => {
    const older = { ...all, revision: 9 };
    expect(plan(everyone(older), { stored: all })).toEqual({ kind: 'on-record', record: all });
    expect(plan(everyone(all), { stored: { ...all, generation: 1, revision: 1 } }).kind).toBe(
      'on-record',
    );
  });

  it('is put back when a node knows more: the store was set back', () => {
    const degraded = withModes(['RW', 'RW', 'ERR'], { revision: 12 });
    const result = plan(everyone(degraded), { stored: { ...all, revision: 9 } });
    expect(result.kind).toBe('put-back');
    expect(inSyncOf(recordOf(result))).toEqual(['r1', 'r2']);
    const busy = plan(everyone(degraded), { stored: { ...all, revision: 9, operation: 'op' } });
    expect(busy.kind).toBe('left');
  });
});

describe('a volume that is in doubt in the store', () => {
  const stored = { ...all, revision: 12, inDoubt: ['set back'] };

  it('stays so when no node keeps anything, and when all that they keep is older', () => {
    const silentOnes = plan([tells('n1', null, [found('r1')])], { stored });
    expect(silentOnes).toMatchObject({ kind: 'in-doubt', record: stored });
    const older = plan(everyone(all), { stored });
    expect(older.kind).toBe('in-doubt');
    expect(notesOf(older)).toContain('newer than all copies');
  });

  it('is settled by the copy that brought the doubt', () => {
    const degraded = withModes(['RW', 'RW', 'ERR'], { revision: 14 });
    const result = plan(everyone(degraded), { stored });
    expect(result.kind).toBe('put-back');
    expect(inSyncOf(recordOf(result))).toEqual(['r1', 'r2']);
  });
});

describe('an attached volume', () => {
  const attachment = {
    epoch: 3,
    node: 'n1',
    frontend: 'nbd',
    endpoint: 'nbd+unix:///x',
    engine: null,
    seizedFrom: null,
    inSync: ['r1', 'r2', 'r3'],
  } as const;
  const attached = { ...all, state: 'attached', clean: false, epoch: 3, attachment } as const;
  const engine = { volume: VOLUME, epoch: 3, operational: ['r1', 'r2', 'r3'], lost: [] };
  const others = everyone(attached).slice(1);
  const first = (given: object, record: VolumeRecord = attached): NodeAnswer =>
    tells('n1', record, [found('r1')], { epoch: 3, ...given });

  it('stays attached where its engine runs', () => {
    const result = plan([first({ engine }), ...others]);
    expect(recordOf(result)).toMatchObject({ state: 'attached', attachment, clean: false });
  });

  it('does not count a leg that its engine has lost and not got on record', () => {
    const lost = [{ replica: 'r3', reason: 'connection refused' }];
    const after = { ...engine, operational: ['r1', 'r2'], lost };
    const record = recordOf(plan([first({ engine: after }), ...others]));
    expect(record.attachment?.inSync).toEqual(['r1', 'r2']);
    expect(record.replicas[2]).toMatchObject({ mode: 'ERR', reason: 'connection refused' });
  });

  it('is detached and not clean where its engine is gone: one leg is chosen at the next attach', () => {
    const record = recordOf(plan([first({}), ...others]));
    expect(record).toMatchObject({ state: 'detached', attachment: null, clean: false });
  });

  it('stays attached to a node that is silent and has none of its members', () => {
    const elsewhere = { ...attached, attachment: { ...attachment, node: 'n9' } };
    const result = plan([...everyone(elsewhere), silent('n9')]);
    expect(recordOf(result)).toMatchObject({ state: 'attached', attachment: { node: 'n9' } });
    expect(notesOf(result)).toContain("may still run on 'n9'");
  });

  it('whose attach was half way is stopped: nobody was told of it', () => {
    const half = { ...attached, state: 'attaching', attachment: { ...attachment, endpoint: null } };
    const result = plan([
      first({ engine }, half as VolumeRecord),
      ...everyone(half as VolumeRecord).slice(1),
    ]);
    expect(recordOf(result)).toMatchObject({ state: 'detached', clean: false });
    expect(result).toMatchObject({
      tasks: [{ command: 'frontend.stop' }, { command: 'engine.stop', node: 'n1' }],
    });
  });

  it('grows on under its engine when one of its legs had grown: hosts may have used it', () => {
    const sizeBytes = 4 * 1024 ** 2;
    const grown = found('r1', [], { head: { ...found('r1').head, sizeBytes } });
    const result = plan([tells('n1', attached, [grown], { epoch: 3, engine }), ...others]);
    expect(recordOf(result)).toMatchObject({ state: 'attached', sizeBytes });
    expect(result).toMatchObject({
      tasks: [
        { node: 'n2', command: 'replica.resize', input: { replica: 'r2', sizeBytes } },
        { node: 'n3', command: 'replica.resize', input: { replica: 'r3', sizeBytes } },
        { node: 'n1', command: 'engine.resize', input: { epoch: 3, sizeBytes } },
      ],
    });
  });

  describe('whose engine has lost all members', () => {
    const leftWith = (state: 'removing' | 'rebuilding'): VolumeRecord => ({
      ...attached,
      replicas: withModes(['RW', 'RW', 'WO']).replicas.map((replica) =>
        replica.mode === 'WO' ? { ...replica, state } : replica,
      ),
    });
    const lost = [{ replica: 'r2', reason: 'connection refused' }];
    const alone = { ...engine, operational: ['r3'], lost };
    const heard = (record: VolumeRecord): readonly NodeAnswer[] => [
      first({ engine: alone }, record),
      ...everyone(record).slice(1),
    ];

    it('goes on with the one that was to leave: it alone has missed nothing', () => {
      const result = plan(heard(leftWith('removing')));
      expect(result).toMatchObject({ kind: 'put-back', tasks: [] });
      expect(recordOf(result)).toMatchObject({
        ...{ state: 'attached', clean: false, attachment: { inSync: ['r3'] } },
        replicas: [
          { mode: 'ERR', reason: 'its engine goes on without it' },
          { mode: 'ERR', reason: 'connection refused' },
          { mode: 'RW', state: 'ready' },
        ],
      });
      expect(notesOf(result)).toContain('counts again');
    });

    it('does not need it when a member is a leg still', () => {
      const both = { ...engine, operational: ['r1', 'r3'], lost };
      const record = leftWith('removing');
      const result = plan([first({ engine: both }, record), ...everyone(record).slice(1)]);
      expect(inSyncOf(recordOf(result))).toEqual(['r1']);
      expect(result).toMatchObject({ tasks: [{ command: 'engine.remove-leg' }] });
    });

    it('is in doubt when the one left was being rebuilt: what it took last no member has', () => {
      const result = plan(heard(leftWith('rebuilding')));
      expect(result.kind).toBe('in-doubt');
      expect(notesOf(result)).toMatch(/engine on 'n1' goes on with r3 alone/);
      expect(recordOf(result)).toMatchObject({ state: 'attached', revision: 10 });

      const accepted = plan(heard(leftWith('rebuilding')), { acceptDataLoss: true });
      expect(accepted).toMatchObject({
        kind: 'put-back',
        tasks: [{ command: 'frontend.stop' }, { command: 'engine.stop', node: 'n1' }],
      });
      expect(recordOf(accepted)).toMatchObject({
        ...{ state: 'detached', attachment: null, clean: false },
      });
      expect(inSyncOf(recordOf(accepted))).toEqual(['r1', 'r2']);
    });

    it('is in doubt when the one that was to leave is not to be seen', () => {
      const [one, two] = heard(leftWith('removing'));
      const unseen = [one, two, silent('n3')].flatMap((answer) => answer ?? []);
      expect(plan(unseen).kind).toBe('in-doubt');
      const accepted = plan(unseen, { acceptDataLoss: true });
      expect(recordOf(accepted)).toMatchObject({ state: 'detached', clean: false });
      expect(inSyncOf(recordOf(accepted))).toEqual(['r1', 'r2']);
    });
  });

  it('lets go of a leg that was being rebuilt, and of what the rebuild had made', () => {
    const joining = { ...attached, replicas: withModes(['RW', 'RW', 'WO']).replicas };
    const result = plan([
      tells('n1', joining, [found('r1', [], { exported: ['snap-j'], scratches: ['nqn'] })], {
        engine,
      }),
      ...everyone(joining).slice(1),
    ]);
    expect(inSyncOf(recordOf(result))).toEqual(['r1', 'r2']);
    expect(result).toMatchObject({
      tasks: [
        { command: 'engine.remove-leg', input: { replica: 'r3', epoch: 3 } },
        { command: 'rebuild.detach-scratch', node: 'n1' },
        { command: 'rebuild.unexport-snapshot', node: 'n1', input: { snapshot: 'snap-j' } },
      ],
    });
  });
});

describe('snapshots', () => {
  const snap = (id: string, parent: string | null, user = true): SnapshotRecord => ({
    id,
    name: `name-${id}`,
    sizeBytes: 1,
    createdAt: '',
    parent,
    user,
  });
  const two = { ...all, snapshots: [snap('s-a', null), snap('s-b', 's-a')], headParent: 's-b' };
  const chains = (record: VolumeRecord, ...lists: readonly (readonly string[])[]): VolumePlan =>
    plan(lists.map((list, at) => tells(`n${at + 1}`, record, [found(`r${at + 1}`, list)])));
  const summary = (record: VolumeRecord) => [
    record.snapshots.map(({ name, parent }) => [name, parent]),
    record.headParent,
  ];

  it('come back with their tree', () => {
    const ab = ['s-a', 's-b'];
    expect(recordOf(chains(two, ab, ab, ab))).toMatchObject({
      ...two,
      revision: 11,
      generation: 1,
    });
  });

  it('whose deletion had begun go from the rest', () => {
    const result = chains(two, ['s-a', 's-b'], ['s-a'], ['s-a', 's-b']);
    expect(summary(recordOf(result))).toEqual([[['name-s-a', null]], 's-a']);
    expect(result).toMatchObject({
      tasks: [
        { node: 'n1', command: 'snapshot.delete', input: { snapshot: 's-b' } },
        { node: 'n3', command: 'snapshot.delete', input: { snapshot: 's-b' } },
      ],
    });
    expect(inSyncOf(recordOf(result))).toHaveLength(3);
  });

  it('that were being taken go, and stay when all replicas have them', () => {
    const ab = ['s-a', 's-b'];
    const some = chains(two, [...ab, 's-new'], ab, ab);
    expect(summary(recordOf(some))[1]).toBe('s-b');
    expect(some).toMatchObject({ tasks: [{ node: 'n1', input: { snapshot: 's-new' } }] });
    const abc = [...ab, 's-new'];
    const every = chains(two, abc, abc, abc);
    expect(every).toMatchObject({ tasks: [] });
    expect(summary(recordOf(every))).toEqual([
      [
        ['name-s-a', null],
        ['name-s-b', 's-a'],
        ['recovered-new', 's-b'],
      ],
      's-new',
    ]);
  });

  it('of a rebuild go', () => {
    const record = { ...all, snapshots: [snap('s-j', null, false)], headParent: 's-j' };
    const result = chains(record, ['s-j'], ['s-j'], ['s-j']);
    expect(recordOf(result)).toMatchObject({ snapshots: [], headParent: null });
    expect(result).toMatchObject({ tasks: [{ node: 'n1' }, { node: 'n2' }, { node: 'n3' }] });
  });

  it('that a clone stands on stay, also when they were made for it alone', () => {
    const made = { ...snap('s-c', null, false), madeFor: 'clone' as const };
    const record = { ...all, snapshots: [made], headParent: 's-c' };
    const result = chains(record, ['s-c'], ['s-c'], ['s-c']);
    expect(result).toMatchObject({ kind: 'put-back', tasks: [] });
    expect(recordOf(result).snapshots).toEqual([made]);
  });

  const reverted = (replica: string) => {
    const full = found(replica, ['s-a', 's-b']);
    return found(replica, ['s-a', 's-b'], { head: { ...full.head, parent: 's-a' } });
  };

  it('with a revert that one replica alone had made: that one does not count', () => {
    const result = plan([
      tells('n1', two, [reverted('r1')]),
      tells('n2', two, [found('r2', ['s-a', 's-b'])]),
      tells('n3', two, [found('r3', ['s-a', 's-b'])]),
    ]);
    expect(inSyncOf(recordOf(result))).toEqual(['r2', 'r3']);
    expect(recordOf(result).replicas[0]?.reason).toContain('revert');
    expect(recordOf(result).headParent).toBe('s-b');
  });

  it('with a revert that all had made: it holds', () => {
    const result = plan(['1', '2', '3'].map((at) => tells(`n${at}`, two, [reverted(`r${at}`)])));
    expect(inSyncOf(recordOf(result))).toHaveLength(3);
    expect(recordOf(result).headParent).toBe('s-a');
  });

  it('with replicas that agree neither with each other nor with the record: in doubt', () => {
    const none = found('r2', ['s-a', 's-b']);
    const result = plan(
      [
        tells('n1', two, [reverted('r1')]),
        tells('n2', two, [found('r2', ['s-a', 's-b'], { head: { ...none.head, parent: null } })]),
        silent('n3'),
      ]
        .slice(0, 2)
        .concat(tells('n3', two, [reverted('r3')])),
    );
    expect(result.kind).toBe('in-doubt');
    expect(notesOf(result)).toContain('different chains');
  });

  it('that a disk has lost take their replica out', () => {
    const full = found('r1', ['s-a', 's-b']);
    const [a, b] = full.snapshots;
    const damaged = {
      ...full,
      snapshots: [a, b].flatMap((s) =>
        s === undefined ? [] : [{ ...s, presence: 'absent' as const }],
      ),
    };
    const result = plan([
      tells('n1', two, [damaged]),
      tells('n2', two, [found('r2', ['s-a', 's-b'])]),
      tells('n3', two, [found('r3', ['s-a', 's-b'])]),
    ]);
    expect(inSyncOf(recordOf(result))).toEqual(['r2', 'r3']);
    expect(recordOf(result).snapshots).toHaveLength(2);
  });
});

it('a growth that one replica had made is made by all', () => {
  const sizeBytes = 4 * 1024 ** 2;
  const full = found('r1');
  const result = plan([
    tells('n1', all, [found('r1', [], { head: { ...full.head, sizeBytes } })]),
    ...everyone(all).slice(1),
  ]);
  expect(recordOf(result).sizeBytes).toBe(sizeBytes);
  expect(result).toMatchObject({
    tasks: [
      { node: 'n2', command: 'replica.resize', input: { sizeBytes } },
      { node: 'n3', command: 'replica.resize', input: { sizeBytes } },
    ],
  });
});

describe('a revert to the snapshot that the head stood on before', () => {
  const reverting = { operation: 'op-1', snapshot: 's-a' };
  const snapshot: SnapshotRecord = {
    ...{ id: 's-a', name: 's-a', sizeBytes: 1024 ** 2, createdAt: '', parent: null, user: true },
  };
  const begun = withModes(['RW', 'RW', 'RW'], {
    snapshots: [snapshot],
    headParent: 's-a',
    reverting,
  });
  const { reverting: _mark, ...unmarked } = { ...begun, revision: 9 };
  /** Given up: the store alone knows that. */
  const stored: VolumeRecord = {
    ...begun,
    ...{ revision: 12, inDoubt: ['all were lost'], reverting: { ...reverting, isUnknown: true } },
  };
  /** The heads, by what made them. */
  const made = (operations: readonly string[], copy: VolumeRecord = begun): readonly NodeAnswer[] =>
    operations.map((madeBy, at) => {
      const replica = found(`r${at + 1}`, ['s-a']);
      return tells(`n${at + 1}`, copy, [{ ...replica, head: { ...replica.head, madeBy } }]);
    });

  it.each<[string, readonly string[], readonly string[], string]>([
    ['no replica has made', ['op-0', 'op-0', 'op-0'], ['r1', 'r2', 'r3'], 'it is not reverted'],
    ['all have made', ['op-1', 'op-1', 'op-1'], ['r1', 'r2', 'r3'], 'have made it'],
    ['some have made', ['op-0', 'op-1', 'op-0'], ['r1', 'r3'], 'it is not reverted'],
  ])('that %s is settled by what each of them holds', (_, operations, counted, note) => {
    const lost = plan(made(operations));
    const givenUp = plan(made(operations, unmarked), { stored });
    for (const result of [lost, givenUp]) {
      expect(result).toMatchObject({ kind: 'put-back', tasks: [] });
      expect(inSyncOf(recordOf(result))).toEqual(counted);
      expect(notesOf(result)).toContain(note);
      expect(recordOf(result).reverting).toBeUndefined();
      expect(recordOf(result).inDoubt).toBeUndefined();
    }
  });

  it('stays in doubt while a member does not answer, but for the word of the operator', () => {
    const heard = [...made(['op-0', 'op-1']), silent('n3')];
    const result = plan(heard, { stored });
    expect(result.kind).toBe('in-doubt');
    // The next recovery goes by the same.
    expect(recordOf(result)).toMatchObject({ revision: 12, reverting: stored.reverting });
    const accepted = plan(heard, { stored, acceptDataLoss: true });
    expect(accepted.kind).toBe('put-back');
    expect(inSyncOf(recordOf(accepted))).toEqual(['r1']);
  });

  it('leaves a store that was set back in doubt, whatever it has of a revert', () => {
    const setBack = { ...stored, reverting };
    expect(plan(made(['op-0', 'op-0', 'op-0'], unmarked), { stored: setBack }).kind).toBe(
      'in-doubt',
    );
  });
});
