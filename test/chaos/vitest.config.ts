import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';

/** Each file has a cluster of its own, which waits most of the time: two at once leave half of two cores idle. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    globalSetup: ['../../tools/whole-build.mjs', '../left-over/reap.ts'],
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
