import { expect, it } from 'vitest';
import { RebuildLoad, busyNodesOf } from './rebuild-load.js';

it('counts a rebuild on the nodes that it has chosen so far', () => {
  const place = (node: string) => ({ id: 'r', node, disk: 'd' });
  const nodes = (memory: Parameters<typeof busyNodesOf>[0]['memory'], kind = 'replica.rebuild') =>
    busyNodesOf({ id: 'op', kind, memory });
  expect(nodes({})).toEqual([]);
  expect(nodes({ source: place('n1'), returning: null })).toEqual(['n1']);
  expect(nodes({ source: place('n1'), returning: place('n2') })).toEqual(['n1', 'n2']);
  const all = { source: place('n1'), target: place('n2'), returning: place('n2') };
  expect(nodes(all)).toEqual(['n1', 'n2']);
  expect(nodes(all, 'replica.move')).toEqual(['n1', 'n2']);
  expect(nodes(all, 'replica.checksum')).toEqual([]);
});

it('has room on a node until that takes part in as many as it may', () => {
  const load = new RebuildLoad(2);
  load.add(['n1', 'n2']);
  expect(load.hasRoomOn(['n1', 'n3'])).toBe(true);
  load.add(['n1', 'n3']);
  expect(load.hasRoomOn(['n1', 'n4'])).toBe(false);
  expect(load.hasRoomOn(['n2', 'n3'])).toBe(true);
  expect(load.hasRoomOn([])).toBe(true);
});
