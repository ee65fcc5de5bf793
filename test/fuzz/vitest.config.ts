import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';
import { FUZZ_MS } from './support/fuzz.js';

/** Each file starts processes of its own; two at a time would fight for the machine's cores. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    globalSetup: ['../../tools/whole-build.mjs'],
    include: ['**/*.test.ts'],
    fileParallelism: false,
    testTimeout: FUZZ_MS + 120_000,
    hookTimeout: 60_000,
  },
});
