import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';

/** One engine with one set of containers serves all files, which come one after the other. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    globalSetup: ['../../tools/whole-build.mjs', '../left-over/reap.ts', 'shared-stack.ts'],
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
