import { expect, it } from 'vitest';
import { pathTo } from './snapshot-path.js';

const snapshot = (id: string, parent: string | null) => ({
  id,
  name: id,
  sizeBytes: 1,
  createdAt: '',
  parent,
  user: true,
});
const tree = [snapshot('c', 'b'), snapshot('x', 'a'), snapshot('b', 'a'), snapshot('a', null)];

it.each([
  ['a', ['a']],
  ['c', ['a', 'b', 'c']],
  ['x', ['a', 'x']],
  ['unknown', []],
])('to %s', (id, path) => {
  expect(pathTo(tree, id).map((each) => each.id)).toEqual(path);
});
