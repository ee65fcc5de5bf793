import { describe, expect, test } from 'vitest';
import { assertMayClaim } from './claim-store.js';
import { diskNamed, readyNode } from './volume.test-support.js';

const STORE = { disk: 'disk-1', lvsUuid: 'u', node: 'n1' };
const claim =
  (known: typeof STORE | undefined, nodes: Parameters<typeof assertMayClaim>[2]) => () =>
    assertMayClaim({ node: 'n1', disk: 'disk-1', lvsUuid: 'u' }, known, nodes);
const n1 = readyNode('n1');

describe('a store that a node has found', () => {
  test('is taken up by the node that had it, also when nothing of it is on record of that', () => {
    expect(claim(STORE, [n1])).not.toThrow();
    expect(claim(STORE, [readyNode('n1', { disks: [diskNamed('disk-1')] })])).not.toThrow();
  });

  test('is taken up from a node that was removed', () => {
    expect(claim({ ...STORE, node: 'n2' }, [n1])).not.toThrow();
  });

  test.each([
    ['is of no cluster known', undefined, [n1], 'no disk that this cluster knows'],
    ['has another uuid than the one on record', { ...STORE, lvsUuid: 'v' }, [n1], 'no disk that'],
    [
      ...(['is of another node', { ...STORE, node: 'n2' }] as const),
      [n1, readyNode('n2', { state: 'down' })],
      "of node 'n2', which is down",
    ],
    [
      ...(['another node has', STORE] as const),
      [n1, readyNode('n3', { disks: [diskNamed('disk-1')] })],
      "of node 'n3', which is ready",
    ],
  ])('is refused when it %s', (_why, known, nodes, words) => {
    expect(claim(known, nodes)).toThrow(expect.objectContaining({ code: 'DISK_TAKEN' }));
    expect(claim(known, nodes)).toThrow(words);
  });
});
