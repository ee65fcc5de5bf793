import { lariatError } from '@lariat/contracts';
import { expect, it } from 'vitest';
import { type GrowthOutcome, judgeGrowth } from './expand-replicas.js';

const grown = (replica: string): GrowthOutcome => ({ replica, kind: 'grown' });
const refused = (replica: string): GrowthOutcome => ({
  replica,
  kind: 'refused',
  error: lariatError('REPLICA_NOT_FOUND', 'it is gone'),
});
const unknown = (replica: string): GrowthOutcome => ({
  replica,
  kind: 'unknown',
  error: lariatError('DEADLINE_EXCEEDED', 'no answer'),
});

it.each<readonly [string, readonly GrowthOutcome[], object]>([
  ['all have grown', [grown('a'), grown('b')], { kind: 'grown', left: [] }],
  ['one could not', [grown('a'), refused('b')], { kind: 'grown', left: [{ replica: 'b' }] }],
  ['one did not answer', [grown('a'), unknown('b'), refused('c')], { kind: 'again' }],
  ['none could', [refused('a'), refused('b')], { kind: 'refused' }],
  ['the only one did not answer', [unknown('a')], { kind: 'again' }],
])('%s', (_name, outcomes, verdict) => {
  expect(judgeGrowth(outcomes)).toMatchObject(verdict);
});

it('never leaves a volume with no replica of the new size', () => {
  const verdict = judgeGrowth([refused('a'), grown('b'), refused('c')]);
  expect(verdict.kind === 'grown' && verdict.left.map(({ replica }) => replica)).toEqual([
    'a',
    'c',
  ]);
});
