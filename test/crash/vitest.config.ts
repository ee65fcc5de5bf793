import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';

/** Each file starts target processes of its own and keeps them busy; two at a time would only slow each other. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    globalSetup: ['../../tools/whole-build.mjs', '../left-over/reap.ts'],
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 60_000,
  },
});
