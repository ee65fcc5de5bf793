import { describe, expect, it } from 'vitest';
import { allStages, isDefault } from './stages.js';

describe('the stages of a run', () => {
  const names = allStages().map(({ name }) => name);

  it('go from what is quick and near to the parts to containers, which come last', () => {
    const suites = names.slice(names.indexOf('tools') + 1);
    expect(suites.slice(0, 4)).toEqual(['contract', 'fuzz', 'e2e', 'chaos']);
    expect(suites.at(-1)).toBe('compose');
  });

  it('are all run unless some are named, but for what measures', () => {
    const others = allStages().filter((stage) => !isDefault(stage));
    expect(others.map(({ name }) => name)).toEqual(['bench']);
  });
});
