import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';

/** A cluster with real devices a file. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    globalSetup: ['../../tools/whole-build.mjs', '../left-over/reap.ts'],
    include: ['**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 60_000,
  },
});
