import { DEFAULT_REBUILD_CONTROL } from '@lariat/contracts';
import type { SnapshotRecord, VolumeRecord } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findStrays } from '../reconcilers/sweep-strays.js';
import { assertNotLast } from '../sagas/remove-replica.saga.js';
import { chooseRebuild } from './choose-rebuild.js';
import { dueRebuild, rebuildPolicyFrom } from './due-rebuild.js';
import { isBackOn, untilKnownMs } from './returned.js';
import { inCopyOrder } from './snapshot-order.js';
import { attachedVolume, diskNamed, replicaOn as replica } from './volume.test-support.js';

/** Of a volume without a record: it was deleted. */
const gone = (): boolean => true;

const LONG_AGO = new Date(0).toISOString();

const DISK = diskNamed('d');

const volume = (given: Partial<VolumeRecord> = {}): VolumeRecord =>
  attachedVolume({
    replicas: [
      replica('r1', 'n1'),
      replica('r2', 'n2'),
      replica('r3', 'n3', { mode: 'ERR', faultedAtMs: 1000 }),
    ],
    ...given,
  });

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return toLariatError(error).code;
  }
  return 'accepted';
};

describe('a rebuild', () => {
  it('replaces the faulted replica from one that is not on the engine’s node', () => {
    const choice = chooseRebuild(volume(), undefined, () => true);
    expect(choice).toMatchObject({
      replaced: { id: 'r3' },
      source: { id: 'r2' },
      others: [{ id: 'r1' }, { id: 'r2' }],
    });
  });

  it.each([
    [
      'VOLUME_HEALTHY',
      volume({ replicas: [replica('r1', 'n1'), replica('r2', 'n2'), replica('r3', 'n3')] }),
      undefined,
    ],
    ['VOLUME_HEALTHY', volume(), 'r1'],
    ['REPLICA_NOT_FOUND', volume(), 'r9'],
    ['VOLUME_FAULTED', volume({ replicas: [replica('r1', 'n1', { mode: 'ERR' })] }), undefined],
  ])('is refused with %s', (code, record, wanted) => {
    expect(codeOf(() => chooseRebuild(record, wanted, () => true))).toBe(code);
  });

  it('needs a source on a node that is ready', () => {
    expect(codeOf(() => chooseRebuild(volume(), undefined, () => false))).toBe('LEG_UNREACHABLE');
    expect(chooseRebuild(volume(), undefined, (node) => node === 'n1').source.id).toBe('r1');
  });

  it('is due when the grace has passed and nothing else works on the volume', () => {
    const policy = {
      graceMs: 5_000,
      maxPerNode: 2,
      limitMibPerSecond: 0,
      stallMs: 8_000,
      byItself: true,
    };
    const due = (given: Partial<VolumeRecord>, nowMs: number) =>
      dueRebuild(volume(given), policy, nowMs, () => false);
    expect(due({}, 5_999)).toBeUndefined();
    expect(due({}, 6_000)).toEqual({ replica: 'r3' });
    expect(due({ operation: 'op' }, 99_999)).toBeUndefined();
    expect(due({ rebuild: { ...DEFAULT_REBUILD_CONTROL, paused: true } }, 99_999)).toBeUndefined();
    expect(due({ rebuild: DEFAULT_REBUILD_CONTROL }, 99_999)).toEqual({ replica: 'r3' });
    expect(due({ state: 'attaching' }, 99_999)).toBeUndefined();
    expect(due({ replicas: [replica('r1', 'n1')] }, 0)).toEqual({ replica: null });
    expect(due({ replicaCount: 2 }, 99_999)).toBeUndefined();
  });

  it('of a replica that is back is due at once, and before that of one that stays away', () => {
    const policy = {
      graceMs: 60_000,
      maxPerNode: 2,
      limitMibPerSecond: 0,
      stallMs: 8_000,
      byItself: true,
    };
    const replicas = [
      replica('r1', 'n1'),
      replica('r2', 'n2', { mode: 'ERR', faultedAtMs: 0 }),
      replica('r3', 'n3', { mode: 'ERR', faultedAtMs: 50_000 }),
    ];
    const backIs = (id: string | null) => (given: { readonly id: string }) => given.id === id;
    const due = (nowMs: number, back: string | null) =>
      dueRebuild(volume({ replicas }), policy, nowMs, backIs(back));
    expect(due(55_000, 'r3')).toEqual({ replica: 'r3' });
    expect(due(55_000, null)).toBeUndefined();
    expect(due(60_000, 'r3')).toEqual({ replica: 'r3' });
    expect(due(60_000, null)).toEqual({ replica: 'r2' });
  });

  it('takes the replica that is back first, and says that it is', () => {
    const replicas = [
      replica('r1', 'n1'),
      replica('r2', 'n2', { mode: 'ERR', faultedAtMs: 0 }),
      replica('r3', 'n3', { mode: 'ERR', faultedAtMs: 0 }),
    ];
    const ready = isBackOn(
      [
        { name: 'n2', state: 'ready', since: LONG_AGO, disks: [] },
        { name: 'n3', state: 'ready', since: LONG_AGO, disks: [{ ...DISK, id: 'd' }] },
      ],
      9_000,
    );
    const choice = chooseRebuild(volume({ replicas }), undefined, () => true, ready);
    expect(choice).toMatchObject({ replaced: { id: 'r3' }, isBack: true });
    expect(chooseRebuild(volume({ replicas }), 'r2', () => true, ready)).toMatchObject({
      replaced: { id: 'r2' },
      isBack: false,
    });
  });

  it('takes no node for back that has not had the time to be found dead', () => {
    const isBack = (since: string, nowMs: number, state: 'ready' | 'suspect' = 'ready') =>
      isBackOn(
        [{ name: 'n3', state, since, disks: [DISK] }],
        nowMs,
      )(replica('r3', 'n3', { mode: 'ERR', faultedAtMs: 50_000 }));
    expect(isBack(LONG_AGO, 51_000)).toBe(false);
    expect(isBack(LONG_AGO, 54_000)).toBe(true);
    expect(isBack(new Date(50_500).toISOString(), 51_000)).toBe(true);
    expect(isBack(LONG_AGO, 99_000, 'suspect')).toBe(false);
  });

  it('tells how long it takes at most until a return is known', () => {
    const wait = (since: string, nowMs: number, state: 'ready' | 'suspect' | 'down' = 'ready') =>
      untilKnownMs(
        [{ name: 'n3', state, since, disks: [DISK] }],
        nowMs,
        replica('r3', 'n3', { mode: 'ERR', faultedAtMs: 50_000 }),
      );
    expect(wait(LONG_AGO, 51_000)).toBe(2_500);
    expect(wait(LONG_AGO, 53_500)).toBe(0);
    expect(wait(LONG_AGO, 20_000)).toBe(3_500);
    expect(wait(new Date(50_500).toISOString(), 51_000)).toBe(0);
    expect(wait(LONG_AGO, 51_000, 'suspect')).toBe(9_000);
    expect(wait(new Date(50_500).toISOString(), 61_000, 'suspect')).toBe(0);
    expect(wait(LONG_AGO, 51_000, 'down')).toBe(0);
  });

  it('goes elsewhere when what the replica has was of no use three times', () => {
    const policy = {
      graceMs: 60_000,
      maxPerNode: 2,
      limitMibPerSecond: 0,
      stallMs: 8_000,
      byItself: true,
    };
    const isBack = isBackOn(
      [{ name: 'n3', state: 'ready', since: LONG_AGO, disks: [DISK] }],
      10_000,
    );
    const due = (reuseFailures: number, nowMs: number) => {
      const lost = replica('r3', 'n3', { mode: 'ERR', faultedAtMs: 0, reuseFailures });
      const replicas = [replica('r1', 'n1'), replica('r2', 'n2'), lost];
      return dueRebuild(volume({ replicas }), policy, nowMs, isBack);
    };
    expect(due(2, 10_000)).toEqual({ replica: 'r3' });
    expect(due(3, 10_000)).toBeUndefined();
    expect(due(3, 60_000)).toEqual({ replica: 'r3' });
  });

  it('reads its grace from the environment', () => {
    expect(rebuildPolicyFrom({})).toEqual({
      graceMs: 60_000,
      maxPerNode: 2,
      limitMibPerSecond: 0,
      stallMs: 8_000,
      byItself: true,
    });
    expect(rebuildPolicyFrom({ LARIAT_REBUILD_GRACE_MS: '5' })).toEqual({
      graceMs: 5,
      maxPerNode: 2,
      limitMibPerSecond: 0,
      stallMs: 8_000,
      byItself: true,
    });
    expect(rebuildPolicyFrom({ LARIAT_REBUILDS_PER_NODE: '7' }).maxPerNode).toBe(7);
    expect(rebuildPolicyFrom({ LARIAT_REBUILD_STALL_MS: '20000' }).stallMs).toBe(20_000);
    for (const stallMs of ['999', '60001'])
      expect(() => rebuildPolicyFrom({ LARIAT_REBUILD_STALL_MS: stallMs })).toThrow(/from 1000 to/);
    expect(() => rebuildPolicyFrom({ LARIAT_REBUILDS_PER_NODE: '' })).toThrow(/of rebuilds/);
    expect(rebuildPolicyFrom({ LARIAT_REBUILD: 'manual' }).byItself).toBe(false);
    expect(() => rebuildPolicyFrom({ LARIAT_REBUILD: 'no' })).toThrow(/auto or manual/);
    expect(() => rebuildPolicyFrom({ LARIAT_REBUILD_GRACE_MS: 'soon' })).toThrow(
      /must be a whole number/,
    );
  });
});

it('never removes the last healthy replica', () => {
  const last = volume({ replicas: [replica('r1', 'n1'), replica('r2', 'n2', { mode: 'ERR' })] });
  expect(codeOf(() => assertNotLast(last, 'r1'))).toBe('LAST_REPLICA');
  expect(codeOf(() => assertNotLast(last, 'r2'))).toBe('accepted');
  expect(codeOf(() => assertNotLast(volume(), 'r1'))).toBe('accepted');
});

describe('strays', () => {
  const inventory = {
    node: 'n1',
    agentInstance: 'i',
    replicas: [
      { replica: 'r1', volume: 'vol-1' },
      { replica: 'old', volume: 'vol-1' },
      { replica: 'gone', volume: 'vol-9' },
    ],
    engines: [
      { volume: 'vol-1', epoch: 2, operational: [], lost: [] },
      { volume: 'vol-9', epoch: 1, operational: [], lost: [] },
    ],
  };

  const records = (id: string): VolumeRecord | undefined => (id === 'vol-1' ? volume() : undefined);

  it('are what no record wants, and nothing else', () => {
    const strays = findStrays(inventory, records, gone);
    expect(strays.map(({ key }) => key)).toEqual([
      'frontend/vol-9/1',
      'engine/vol-9/1',
      'replica/old',
      'replica/gone',
    ]);
  });

  it('are nothing of a volume that is not on record and was not deleted: the store may have lost its data', () => {
    expect(
      findStrays(
        inventory,
        () => undefined,
        () => false,
      ),
    ).toEqual([]);
    const keys = findStrays(inventory, records, () => false).map(({ key }) => key);
    expect(keys).toEqual(['replica/old']);
  });

  it('are nothing that knows of more than the record: the store may have been set back', () => {
    const copy = { generation: 0, revision: 8 };
    const newer = {
      ...inventory,
      replicas: inventory.replicas.map((one) => ({ ...one, record: copy })),
    };
    const found = (given: Partial<VolumeRecord>): readonly string[] =>
      findStrays(
        newer,
        (id) => (id === 'vol-1' ? volume(given) : undefined),
        () => false,
      ).map(({ key }) => key);
    expect(found({ revision: 7 })).toEqual([]);
    expect(found({ revision: 8 })).toEqual(['replica/old']);
    // A record that was put back from copies is above all that it did not find.
    expect(found({ generation: 1, revision: 1 })).toEqual(['replica/old']);
    expect(found({ revision: 9, inDoubt: ['why'] })).toEqual([]);
    expect(found({ revision: 9, epoch: 1, attachment: null })).not.toContain('engine/vol-1/2');
  });

  it('go by the record that does not want them, and are refused by a node that knows more by then', () => {
    const strays = findStrays(
      inventory,
      (id) => (id === 'vol-1' ? volume({ generation: 1, revision: 8 }) : undefined),
      gone,
    );
    const inputs = strays.flatMap(({ command, input }) =>
      command === 'replica.delete' ? [input] : [],
    );
    expect(inputs).toEqual([
      { replica: 'old', volume: 'vol-1', record: { generation: 1, revision: 8 } },
      // Its volume was deleted: no record is above that.
      { replica: 'gone', volume: 'vol-9' },
    ]);
  });

  it('are not looked for while an operation works on the volume', () => {
    expect(findStrays(inventory, () => volume({ operation: 'op' }), gone)).toEqual([]);
  });

  it('include an engine of an epoch that has passed', () => {
    const keys = findStrays(inventory, () => volume({ epoch: 3, attachment: null }), gone).map(
      ({ key }) => key,
    );
    expect(keys).toContain('engine/vol-1/2');
  });

  it('do not include a replica that its record lists on this node', () => {
    fc.assert(
      fc.property(fc.subarray(['r1', 'r2', 'r3']), (ids) => {
        const record = volume({ replicas: ids.map((id) => replica(id, 'n1')) });
        const named = findStrays(
          {
            ...inventory,
            engines: [],
            replicas: ['r1', 'r2', 'r3'].map((id) => ({ replica: id, volume: 'vol-1' })),
          },
          () => record,
          gone,
        );
        expect(named.map(({ key }) => key)).toEqual(
          ['r1', 'r2', 'r3'].filter((id) => !ids.includes(id)).map((id) => `replica/${id}`),
        );
      }),
    );
  });
});

it('copies every snapshot after the one that it stands on', () => {
  const tree = fc.array(fc.nat(), { maxLength: 20 }).map((picks) =>
    picks.map((pick, index): SnapshotRecord => {
      const parent = index === 0 || pick % (index + 1) === index ? null : `s${pick % index}`;
      return { id: `s${index}`, name: '', sizeBytes: 1, createdAt: '', parent, user: true };
    }),
  );
  fc.assert(
    fc.property(tree, fc.infiniteStream(fc.nat()), (snapshots, random) => {
      const shuffled = snapshots.toSorted(() => ((random.next().value as number) % 3) - 1);
      const seen = new Set<string | null>([null]);
      for (const { id, parent } of inCopyOrder(shuffled)) {
        expect(seen.has(parent)).toBe(true);
        seen.add(id);
      }
      expect(seen.size).toBe(snapshots.length + 1);
    }),
  );
  expect(() =>
    inCopyOrder([{ id: 'a', name: '', sizeBytes: 1, createdAt: '', parent: 'a', user: true }]),
  ).toThrow(/not a tree/);
});
