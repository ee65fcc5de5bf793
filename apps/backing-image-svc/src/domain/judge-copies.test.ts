import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyOn, imageRecord } from '../testing/image-record.js';
import {
  WANTED_FOR_MS,
  findAbsent,
  findStrays,
  idleCopiesOf,
  missingCopies,
} from './judge-copies.js';

const HOUR_MS = 3_600_000;
const NOW_MS = Date.parse('2026-11-21T12:00:00Z');
const ago = (ms: number): string => new Date(NOW_MS - ms).toISOString();
const report = (image: string, node: string) => ({ image, disk: `disk-of-${node}` });
const never = (): boolean => false;

describe('a copy that a node has', () => {
  const record = imageRecord();
  const strays = (given: Partial<typeof record>, node = 'n2') =>
    findStrays(node, [report('img-1', node)], () => imageRecord(given), never);

  it('is a stray when its image has it not on record, or somewhere else', () => {
    expect(strays({})).toEqual([{ image: 'img-1', disk: 'disk-of-n2' }]);
    expect(strays({}, 'n1')).toEqual([]);
  });

  it('is none while an operation works on the image, and it is about to be put on record', () => {
    expect(strays({ operation: 'op-1' })).toEqual([]);
  });

  it('is none when nothing is known of its image: a store that was lost says nothing', () => {
    const reports = [report('img-9', 'n1')];
    expect(findStrays('n1', reports, () => undefined, never)).toEqual([]);
    expect(
      findStrays(
        'n1',
        reports,
        () => undefined,
        () => true,
      ),
    ).toHaveLength(1);
  });

  it('is lost when the node says that it is absent, and not when the node does not know', () => {
    const lost = (presence: 'absent' | 'unknown' | 'present', state: 'ready' | 'fetching') =>
      findAbsent('n1', [{ ...report('img-1', 'n1'), presence }], () =>
        imageRecord({ copies: [copyOn('n1', { state })] }),
      ).length;
    expect(lost('absent', 'ready')).toBe(1);
    expect(lost('unknown', 'ready')).toBe(0);
    expect(lost('present', 'ready')).toBe(0);
    // Its operation has not made it yet.
    expect(lost('absent', 'fetching')).toBe(0);
  });
});

describe('a copy above the minimum', () => {
  const old = { readyAt: ago(10 * HOUR_MS), wantedAt: ago(9 * HOUR_MS) };
  const newer = { readyAt: ago(5 * HOUR_MS), wantedAt: null };
  const copies = [copyOn('n1', newer), copyOn('n2', old)];
  const find = (given: object, clones: number | null = 0, idleForMs = HOUR_MS, away = '') =>
    idleCopiesOf(imageRecord({ copies, ...given }), {
      clonesOf: () => clones,
      isReady: (node) => node !== away,
      ...{ nowMs: NOW_MS, idleForMs },
    }).map(({ node }) => node);

  it('may go when it was idle for long enough, that which was for the longest first', () => {
    expect(find({})).toEqual(['n2', 'n1']);
    expect(find({}, 0, 6 * HOUR_MS)).toEqual(['n2']);
    expect(find({}, 0, 20 * HOUR_MS)).toEqual([]);
  });

  it('stays while something stands on it, or nobody knows', () => {
    expect(find({}, 1)).toEqual([]);
    expect(find({}, null)).toEqual([]);
  });

  it('stays when the others are too few, or an operation works on the image', () => {
    expect(find({ minimumCopies: 2 })).toEqual([]);
    expect(find({ operation: 'op-1' })).toEqual([]);
    expect(find({ state: 'deleting' })).toEqual([]);
    expect(find({ copies: [copies[0], copyOn('n2', { ...old, state: 'corrupt' })] })).toEqual([]);
    // One on a node that is away is none that an image could be read from.
    expect(find({}, 0, HOUR_MS, 'n1')).toEqual([]);
  });

  it('stays for a minute after a volume has asked for it, however early copies are given up', () => {
    const wanted = (ms: number) => [
      copyOn('n1', { wantedAt: ago(ms) }),
      copyOn('n2', { wantedAt: ago(ms) }),
    ];
    expect(find({ copies: wanted(WANTED_FOR_MS - 1) }, 0, 0)).toEqual([]);
    expect(find({ copies: wanted(WANTED_FOR_MS + 1) }, 0, 0)).toEqual(['n1', 'n2']);
  });

  it('is one of those that have no use, and of no more than the image can spare, in any cluster', () => {
    const nodes = ['n1', 'n2', 'n3', 'n4'] as const;
    const copy = fc.record({
      state: fc.constantFrom('ready', 'ready', 'fetching', 'corrupt', 'deleting'),
      clones: fc.constantFrom(0, 0, 1, null),
      idleMs: fc.constantFrom(1, WANTED_FOR_MS, WANTED_FOR_MS + 1, HOUR_MS + 1),
      isReady: fc.boolean(),
    });
    const cluster = fc.record({
      given: fc.array(copy, { minLength: 1, maxLength: 4 }),
      minimumCopies: fc.integer({ min: 1, max: 4 }),
      idleForMs: fc.constantFrom(0, HOUR_MS),
    });
    fc.assert(
      fc.property(cluster, ({ given, minimumCopies, idleForMs }) => {
        const of = (node: string) => given[nodes.findIndex((name) => name === node)];
        const record = imageRecord({
          minimumCopies,
          copies: given.map(({ state, idleMs }, at) =>
            copyOn(nodes[at] ?? '', { state, wantedAt: ago(idleMs) }),
          ),
        });
        const idle = idleCopiesOf(record, {
          clonesOf: (_image, { node }) => of(node)?.clones ?? null,
          isReady: (node) => of(node)?.isReady === true,
          ...{ nowMs: NOW_MS, idleForMs },
        });
        const there = given.filter(({ state, isReady }) => state === 'ready' && isReady).length;
        for (const { node, spare } of idle) {
          const one = of(node);
          expect(one).toMatchObject({ state: 'ready', clones: 0, isReady: true });
          expect(one?.idleMs).toBeGreaterThan(Math.max(WANTED_FOR_MS, idleForMs));
          expect(spare).toBeGreaterThan(0);
          expect(there - spare).toBe(minimumCopies);
        }
      }),
    );
  });
});

describe('an image', () => {
  it('misses copies of nodes that are down, counts those on their way, and none while it is deleted', () => {
    const copies = [
      copyOn('n1'),
      copyOn('n2', { state: 'fetching' }),
      copyOn('n3', { state: 'corrupt' }),
    ];
    const missing = (given: object, down: string) =>
      missingCopies(imageRecord({ copies, minimumCopies: 3, ...given }), (node) => node === down);
    expect(missing({}, '')).toBe(1);
    expect(missing({}, 'n1')).toBe(2);
    expect(missing({ state: 'deleting' }, 'n1')).toBe(0);
    expect(missing({ minimumCopies: 1 }, '')).toBe(0);
  });
});
