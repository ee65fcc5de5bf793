import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';

/** Each file has a cluster of its own; two at a time would fight for the machine's cores. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    globalSetup: ['../../tools/whole-build.mjs', '../left-over/reap.ts'],
    fileParallelism: false,
    testTimeout: 90_000,
    hookTimeout: 60_000,
  },
});
