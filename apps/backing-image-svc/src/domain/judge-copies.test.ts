import { describe, expect, it } from 'vitest';
import { copyOn, imageRecord } from '../testing/image-record.js';
import {
  WANTED_FOR_MS,
  findAbsent,
  findEvictable,
  findStrays,
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
  const find = (given: object, clones: number | null = 0, evictAfterMs = HOUR_MS) =>
    findEvictable(imageRecord({ copies, ...given }), () => clones, NOW_MS, evictAfterMs)?.node;

  it('may go when it was idle for the longest of all, and for long enough', () => {
    expect(find({})).toBe('n2');
    expect(find({}, 0, 20 * HOUR_MS)).toBeUndefined();
  });

  it('stays while something stands on it, or nobody knows', () => {
    expect(find({}, 1)).toBeUndefined();
    expect(find({}, null)).toBeUndefined();
  });

  it('stays when the others are too few, or an operation works on the image', () => {
    expect(find({ minimumCopies: 2 })).toBeUndefined();
    expect(find({ operation: 'op-1' })).toBeUndefined();
    expect(find({ copies: [copies[0], copyOn('n2', { ...old, state: 'corrupt' })] })).toBe(
      undefined,
    );
  });

  it('stays for a minute after a volume has asked for it, however early copies are given up', () => {
    const wanted = (ms: number) => [
      copyOn('n1', { wantedAt: ago(ms) }),
      copyOn('n2', { wantedAt: ago(ms) }),
    ];
    expect(find({ copies: wanted(WANTED_FOR_MS - 1) }, 0, 0)).toBeUndefined();
    expect(find({ copies: wanted(WANTED_FOR_MS + 1) }, 0, 0)).toBe('n1');
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
