import { describe, expect, it } from 'vitest';
import { soakEnv } from './run-stage.js';

describe('a soak', () => {
  it('is what the suites are told by the environment', () => {
    expect(soakEnv(undefined, {})).toEqual({});
    expect(soakEnv(3, {})).toEqual({ LARIAT_SOAK: '3', LARIAT_FUZZ_SECONDS: '600' });
    expect(soakEnv(3, { LARIAT_FUZZ_SECONDS: '5' })).toMatchObject({ LARIAT_FUZZ_SECONDS: '5' });
  });
});
