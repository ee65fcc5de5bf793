import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';

/** Each file has a cluster of its own, which waits most of the time: two at once leave half of two cores idle. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    globalSetup: ['../../tools/whole-build.mjs', '../left-over/reap.ts'],
    maxWorkers: 2,
    // For what hangs: the tests in virtual time take seconds of a processor, and minutes where others want it too.
    testTimeout: 600_000,
    hookTimeout: 120_000,
  },
});
