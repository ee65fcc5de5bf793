import type { Inventory, OrphanKind, OrphanRecord, UnownedThing } from '@lariat/contracts';
import { describe, expect, it, test } from 'vitest';
import {
  assertDeletable,
  deletesAtMs,
  findOrphans,
  hasEnded,
  orphanIdOf,
  orphanPolicyFrom,
  toOrphanView,
  wantedBy,
} from './orphans.js';
import { attachedVolume, replicaOn } from './volume.test-support.js';

const REPLICA = 'rep-000000000000';
const VOLUME = 'vol-000000000000';
const SINCE = '2026-11-22T00:00:00.000Z';
const HOUR = { graceMs: 3_600_000 };

const lvol = (lvolName: string): UnownedThing => ({
  ...{ kind: 'lvol', name: `disk-1/${lvolName}`, uuid: 'u', disk: 'disk-1', since: SINCE },
  ...{ sizeBytes: 4, allocatedBytes: 1, beneath: [] },
});
const inventory = (given: Partial<Inventory> = {}): Inventory => ({
  ...{ node: 'n1', agentInstance: 'inst-1', replicas: [], engines: [] },
  unowned: { things: [lvol(REPLICA)], omitted: 0, disks: ['disk-1'] },
  ...given,
});
const never = (): boolean => false;
const find = (seen: Inventory, unknown: readonly string[] = []) =>
  findOrphans(seen, never, (volume) => unknown.includes(volume));
const onRecord = (given: Partial<OrphanRecord> = {}): OrphanRecord => ({
  ...lvol(REPLICA),
  ...{ id: 'orph-1', node: 'n1', volume: null, foundAt: SINCE },
  ...given,
});

describe('what a node has without an owner', () => {
  it('is what no record of the node names, and replicas of volumes of which nothing is known', () => {
    const strangers = [
      { replica: 'rep-a', volume: 'vol-gone', head: { uuid: 'h', disk: 'd', sizeBytes: 8 } },
      { replica: 'rep-b', volume: VOLUME },
    ];
    const found = find(inventory({ replicas: strangers }), ['vol-gone']);
    expect(found.map(({ kind, name, volume, uuid }) => [kind, name, volume, uuid])).toEqual([
      ['lvol', `disk-1/${REPLICA}`, null, 'u'],
      ['replica', 'rep-a', 'vol-gone', 'h'],
    ]);
  });

  it('is one orphan however often it is found, and another after it had an owner', () => {
    const [one] = find(inventory());
    const [again] = find(inventory({ agentInstance: 'inst-2' }));
    if (one === undefined || again === undefined) throw new Error('an lvol has no owner');
    expect(orphanIdOf(again)).toBe(orphanIdOf(one));
    expect(orphanIdOf({ ...one, since: '2026-11-22T01:00:00.000Z' })).not.toBe(orphanIdOf(one));
  });
});

describe('a volume wants', () => {
  const volume = attachedVolume({ id: VOLUME, replicas: [replicaOn(REPLICA, 'n1')] });
  const wants = (kind: OrphanKind, name: string, node = 'n1', held = never) =>
    wantedBy({ kind, name }, node, [volume], held)?.id;
  const raid = { ...volume, attachment: null };

  test.each([`disk-1/${REPLICA}`, `disk-1/${REPLICA}.snap-1`])(
    'lvol %s of a replica that its node has lost from its records',
    (name) => {
      expect(wants('lvol', name)).toBe(VOLUME);
      expect(wants('lvol', name, 'n2')).toBeUndefined();
      expect(wants('lvol', name, 'n1', () => true)).toBeUndefined();
    },
  );

  it('the engine, and its legs, where it is attached', () => {
    expect(wants('raid', VOLUME)).toBe(VOLUME);
    expect(wants('controller', REPLICA)).toBe(VOLUME);
    expect(wants('subsystem', `nqn.2026-11.io.lariat:volume:${VOLUME}`)).toBe(VOLUME);
    expect(wants('raid', VOLUME, 'n2')).toBeUndefined();
    expect(wantedBy({ kind: 'raid', name: VOLUME }, 'n1', [raid], never)).toBeUndefined();
  });

  it('nothing that only looks like a part of it', () => {
    for (const name of ['disk-1/rep-000000000001', 'disk-1/mine', `${REPLICA}/other`])
      expect(wants('lvol', name)).toBeUndefined();
  });
});

describe('an orphan on record has ended', () => {
  const nothing = { things: [], omitted: 0, disks: ['disk-1'] };
  const ended = (seen: Inventory, orphan = onRecord()) => hasEnded(orphan, find(seen), seen);

  it('when its node has looked, and has it not', () => {
    expect(ended(inventory())).toBe(false);
    expect(ended(inventory({ unowned: nothing }))).toBe(true);
  });

  it('not when its target does not answer, its disk is not loaded, or the node has more than it tells', () => {
    const { unowned: _not, ...silent } = inventory();
    expect(ended(silent)).toBe(false);
    expect(ended(inventory({ unowned: { ...nothing, disks: [] } }))).toBe(false);
    expect(ended(inventory({ unowned: { ...nothing, omitted: 1 } }))).toBe(false);
  });

  it('when another lvol has its name', () => {
    const other = { ...lvol(REPLICA), uuid: 'another' };
    expect(ended(inventory({ unowned: { ...nothing, things: [other] } }))).toBe(true);
  });
});

describe('the grace', () => {
  it('is a day, what the environment says, or for ever', () => {
    expect(orphanPolicyFrom({})).toEqual({ graceMs: 86_400_000 });
    expect(orphanPolicyFrom({ LARIAT_ORPHAN_GRACE_SECONDS: '0' })).toEqual({ graceMs: 0 });
    expect(orphanPolicyFrom({ LARIAT_ORPHAN_GRACE_SECONDS: 'off' })).toEqual({ graceMs: null });
  });

  test.each(['', '-1', '1.5', 'soon'])('%j is refused', (text) => {
    const read = (): unknown => orphanPolicyFrom({ LARIAT_ORPHAN_GRACE_SECONDS: text });
    expect(read).toThrow('LARIAT_ORPHAN_GRACE_SECONDS must be');
  });

  it('begins when the orphan was found', () => {
    const later = onRecord({ foundAt: '2026-11-22T02:00:00.000Z' });
    expect(deletesAtMs(later, HOUR)).toBe(Date.parse('2026-11-22T03:00:00.000Z'));
    expect(toOrphanView(later, HOUR)).toMatchObject({
      ...{ deletesAt: '2026-11-22T03:00:00.000Z', kept: null, deletable: true },
    });
  });

  it('waits for what stands on it', () => {
    const parent = onRecord({ beneath: ['rep-1'] });
    expect(toOrphanView(parent, HOUR)).toMatchObject({ deletesAt: null, deletable: true });
    expect(toOrphanView(parent, HOUR).kept).toContain('rep-1');
  });

  test.each([
    ['a store', onRecord({ kind: 'store', name: 'disk-1' }), 'may hold volumes'],
    ['a replica of a volume that may come back', onRecord({ kind: 'replica' }), 'lariat recover'],
    ['an lvol that somebody has made by hand', onRecord({ name: 'disk-1/mine' }), 'never gives'],
  ])('never ends for %s', (_what, orphan, why) => {
    expect(deletesAtMs(orphan, HOUR)).toBeUndefined();
    expect(toOrphanView(orphan, HOUR).kept).toContain(why);
  });

  it('does not end where none is deleted by itself; a store is not deleted on request either', () => {
    expect(toOrphanView(onRecord(), { graceMs: null })).toMatchObject({ deletesAt: null });
    expect(() => assertDeletable(onRecord())).not.toThrow();
    expect(() => assertDeletable(onRecord({ kind: 'store' }))).toThrow('not deleted as an orphan');
  });
});
