import { ReplicaMode, type VolumeRecord } from '@lariat/contracts';
import { expect, test } from 'vitest';
import { effectOfRestart } from './target-users.js';

const legs = (...nodes: readonly string[]) =>
  nodes.map((text) => {
    const [node, mode = ReplicaMode.rw] = text.split(' ');
    return { node, mode };
  });
const volume = (engine: string | null, ...nodes: readonly string[]): VolumeRecord =>
  ({
    attachment: engine === null ? null : { node: engine },
    replicas: legs(...nodes),
  }) as unknown as VolumeRecord;

test.each([
  ['a detached volume has no use of it', volume(null, 'n1', 'n2'), undefined],
  ['nor one that has nothing there', volume('n2', 'n2', 'n3'), undefined],
  ['one whose engine is there stalls', volume('n1', 'n2', 'n3'), 'stalls'],
  ['one that has a leg there goes on without', volume('n2', 'n1', 'n2'), 'misses'],
  ['one that has no other leg fails', volume('n2', 'n1'), 'fails'],
  ['and one whose other leg does not count', volume('n2', 'n1', `n3 ${ReplicaMode.wo}`), 'fails'],
  [
    'a leg there that does not count is nothing to lose',
    volume('n2', `n1 ${ReplicaMode.err}`, 'n3'),
    undefined,
  ],
])('%s', (_what, record, effect) => {
  expect(effectOfRestart(record, 'n1')).toBe(effect);
});
