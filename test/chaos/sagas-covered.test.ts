import { type ImageSagaDeps, imageSagas } from '@lariat/backing-image-svc';
import { type RebuildDeps, replicaSagas } from '@lariat/replica-svc';
import { type SagaDeps, volumeSagas } from '@lariat/volume-svc';
import { describe, expect, it } from 'vitest';
import type { KillPlan } from './kill-at-every-position.js';
import { KILL_PLANS } from './kill-plans.js';
import { CASES } from './saga-cases.js';

/** Of every service: no definition looks at what it stands on before it runs. */
const kinds = [
  ...volumeSagas({} as SagaDeps),
  ...replicaSagas({} as RebuildDeps),
  ...imageSagas({} as ImageSagaDeps),
]
  .map(({ kind }) => kind)
  .toSorted();

const distinct = (names: readonly string[]): readonly string[] => [...new Set(names)].toSorted();

describe('every saga', () => {
  it('is cut off at its journal positions by at least one plan', () => {
    const plans: readonly KillPlan[] = Object.values(KILL_PLANS);
    const killed = plans.filter(({ victim }) => victim === undefined);
    expect(distinct(killed.flatMap(({ sagas }) => sagas))).toEqual(kinds);
  });

  it('has a case in the imagined world, where nodes fall silent and operations are cancelled', () => {
    expect(distinct(Object.values(CASES).map(({ kind }) => kind))).toEqual(kinds);
  });
});
