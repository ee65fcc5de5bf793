import { afterEach, beforeEach, expect, it, vi } from 'vitest';

const CASES = Array.from({ length: 40 }, (_, index) => index);

/** As a run with this environment draws. */
async function drawAs(env: Readonly<Record<string, string>>): Promise<readonly number[]> {
  vi.resetModules();
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  const { drawn } = await import('./drawn.js');
  return drawn('numbers', CASES, 8);
}

beforeEach(() => {
  vi.stubEnv('LARIAT_SEED', undefined);
  vi.stubEnv('LARIAT_SOAK', undefined);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

it('takes as many as it is told, each once and in their order', async () => {
  const taken = await drawAs({});
  expect(new Set(taken).size).toBe(8);
  expect(taken).toEqual(taken.toSorted((one, other) => one - other));
});

it('takes the same under the same seed, and comes to each case under some seed', async () => {
  expect(await drawAs({ LARIAT_SEED: 'a' })).toEqual(await drawAs({ LARIAT_SEED: 'a' }));
  const seen = new Set<number>();
  for (let seed = 0; seed < 60; seed += 1)
    for (const one of await drawAs({ LARIAT_SEED: `s${seed}` })) seen.add(one);
  expect([...seen].toSorted((one, other) => one - other)).toEqual(CASES);
});

it('takes all in a soak', async () => {
  expect(await drawAs({ LARIAT_SOAK: '1' })).toEqual(CASES);
});
