import { type HeldSnapshot, STALE_HEAD, type SnapshotRecord } from '@lariat/contracts';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { comparable, planResync } from './plan-resync.js';

const MIB = 1024 * 1024;

function wanted(id: string, parent: string | null): SnapshotRecord {
  return { id, name: id, sizeBytes: MIB, createdAt: '', parent, user: true };
}
const held = (snapshot: string, parent: string | null): HeldSnapshot => ({
  snapshot,
  parent,
  sizeBytes: MIB,
});
const stale = (parent: string | null): HeldSnapshot => held(STALE_HEAD, parent);
const all = (...ids: string[]): ReadonlySet<string> => new Set(ids);

describe('what a returning replica can use', () => {
  test('all of its snapshots, when nothing was done to them, and its old head', () => {
    const snapshots = [wanted('a', null), wanted('b', 'a'), wanted('join', 'b')];
    const has = [held('a', null), held('b', 'a'), stale('b')];
    const plan = planResync(snapshots, 'join', has, all('a', 'b'));
    expect(plan).toEqual({ keep: ['a', 'b'], patch: 'join' });
  });

  test('the old head alone, of a volume without snapshots', () => {
    const plan = planResync([wanted('join', null)], 'join', [stale(null)], all());
    expect(plan).toEqual({ keep: [], patch: 'join' });
  });

  test('the old head for the oldest snapshot that was taken while it was away', () => {
    const snapshots = [wanted('a', null), wanted('later', 'a'), wanted('join', 'later')];
    const plan = planResync(snapshots, 'join', [held('a', null), stale('a')], all('a'));
    expect(plan).toEqual({ keep: ['a'], patch: 'later' });
  });

  test('no snapshot from one upwards that has another content; that one is made from the old head', () => {
    const snapshots = [wanted('a', null), wanted('b', 'a'), wanted('c', 'b'), wanted('join', 'c')];
    const has = [held('a', null), held('b', 'a'), held('c', 'b'), stale('c')];
    const plan = planResync(snapshots, 'join', has, all('a', 'c'));
    expect(plan).toEqual({ keep: ['a'], patch: 'b' });
  });

  test('what stands on a snapshot that was deleted meanwhile, since that gives its clusters up', () => {
    const snapshots = [wanted('a', null), wanted('c', 'a'), wanted('join', 'c')];
    const has = [held('a', null), held('b', 'a'), held('c', 'b'), stale('c')];
    const plan = planResync(snapshots, 'join', has, all('a', 'c'));
    expect(plan).toEqual({ keep: ['a', 'c'], patch: 'join' });
  });

  test('not the old head, when the volume was reverted to a snapshot further down', () => {
    const snapshots = [wanted('a', null), wanted('b', 'a'), wanted('join', 'a')];
    const has = [held('a', null), held('b', 'a'), stale('b')];
    const plan = planResync(snapshots, 'join', has, all('a', 'b'));
    expect(plan).toEqual({ keep: ['a', 'b'], patch: null });
  });

  test('not the old head, when it shares a deleted snapshot with one that is kept', () => {
    // Reverted to a, then b was deleted: on the replica both c and the old head stand on b.
    const snapshots = [wanted('a', null), wanted('c', 'a'), wanted('join', 'a')];
    const has = [held('a', null), held('b', 'a'), held('c', 'b'), stale('b')];
    const plan = planResync(snapshots, 'join', has, all('a', 'c'));
    expect(plan).toEqual({ keep: ['a', 'c'], patch: null });
  });

  test('nothing when it has nothing', () => {
    const plan = planResync([wanted('a', null), wanted('join', 'a')], 'join', [], all());
    expect(plan).toEqual({ keep: [], patch: null });
  });
});

test('only snapshots whose whole ancestry is held are compared', () => {
  const snapshots = [wanted('a', null), wanted('b', 'a'), wanted('c', 'b')];
  expect(comparable(snapshots, [held('a', null), held('c', 'a')])).toEqual(['a']);
});

/** A random tree: each snapshot's parent is one of those before it, or none. */
const tree = (names: readonly string[]) =>
  fc
    .tuple(...names.map((_, index) => fc.nat(index)))
    .map((parents) => names.map((name, index) => [name, names[(parents[index] ?? 0) - 1] ?? null]));

test('whatever both sides have, what is kept is a part of the tree on record and the rest can be deleted', () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  fc.assert(
    fc.property(
      tree(names),
      tree([...names, STALE_HEAD]),
      fc.subarray(names),
      fc.subarray(names),
      (record, disk, same, recorded) => {
        const inRecord = new Set(recorded);
        const near = (id: string | null): string | null => {
          if (id === null || inRecord.has(id)) return id;
          return near(record.find(([name]) => name === id)?.[1] ?? null);
        };
        const snapshots = record.flatMap(([id, parent]) =>
          id !== null && id !== undefined && inRecord.has(id)
            ? [wanted(id, near(parent ?? null))]
            : [],
        );
        snapshots.push(wanted('join', snapshots.at(-1)?.id ?? null));
        const has = disk.map(([id, parent]) => held(id ?? '', parent ?? null));
        const plan = planResync(snapshots, 'join', has, new Set(same));
        const survivors = new Set([...plan.keep, ...(plan.patch === null ? [] : [STALE_HEAD])]);
        const after = prune(has, survivors);
        for (const id of plan.keep) {
          const onRecord = snapshots.find((snapshot) => snapshot.id === id);
          expect(after.get(id)).toBe(onRecord?.parent);
        }
        const { patch } = plan;
        const beneath = snapshots.find(({ id }) => id === patch)?.parent;
        expect(after.get(STALE_HEAD)).toBe(beneath);
        expect(plan.keep.filter((id) => id === patch)).toEqual([]);
      },
    ),
    { numRuns: 500 },
  );
});

/** As an lvol store does it: a leaf goes; one with a single clone is merged into that; with several it is refused. */
function prune(has: readonly HeldSnapshot[], survivors: ReadonlySet<string>) {
  const parents = new Map(has.map(({ snapshot, parent }) => [snapshot, parent]));
  const clonesOf = (id: string): readonly string[] =>
    [...parents].filter(([, parent]) => parent === id).map(([child]) => child);
  for (;;) {
    const going = [...parents.keys()].filter((id) => !survivors.has(id));
    if (going.length === 0) return parents;
    const next = going.toSorted((a, b) => clonesOf(a).length - clonesOf(b).length)[0] ?? '';
    const clones = clonesOf(next);
    if (clones.length > 1) throw new Error(`${next} can't be deleted`);
    for (const clone of clones) parents.set(clone, parents.get(next) ?? null);
    parents.delete(next);
  }
}
