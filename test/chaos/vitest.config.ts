import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';

/**
 * Each file has a cluster of its own, one after the other: two would make a machine of two cores so slow that
 * restarts are taken for deaths.
 */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    globalSetup: ['../../tools/whole-build.mjs', '../left-over/reap.ts'],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
