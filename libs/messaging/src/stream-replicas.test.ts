import { expect, it } from 'vitest';
import { bucketReplicas, wantedReplicas } from './stream-replicas.js';

it.each([
  [undefined, undefined, {}],
  ['', undefined, {}],
  ['1', 1, {}],
  ['3', 3, { replicas: 3, allow_direct: false }],
])('with LARIAT_NATS_REPLICAS=%j are %j, and buckets have %j', (text, replicas, options) => {
  const env = { LARIAT_NATS_REPLICAS: text };
  expect(wantedReplicas(env)).toBe(replicas);
  expect(bucketReplicas(env)).toEqual(options);
});

it.each(['0', '2', 'three', '3.5'])('refuses %s', (text) => {
  expect(() => wantedReplicas({ LARIAT_NATS_REPLICAS: text })).toThrow(
    expect.objectContaining({ code: 'NATS_REPLICAS_INVALID' }),
  );
});
