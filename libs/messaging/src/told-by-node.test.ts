import { heartbeatSubject } from '@lariat/contracts';
import { expect, it } from 'vitest';
import { toldByNode } from './told-by-node.js';

const on = (node: string, body: string) =>
  toldByNode({ subject: heartbeatSubject(node), data: new TextEncoder().encode(body) });

it('a node is heard of itself', () => {
  expect(on('n1', '{"node":"n1","at":1}')).toEqual({ node: 'n1', at: 1 });
});

it.each(['{"node":"n2"}', '{"node":"1"}', '{"node":1}', '{}', 'null', '[]', 'no JSON', ''])(
  'a node that tells %j is not heard',
  (body) => {
    expect(on('n1', body)).toBeUndefined();
  },
);
