import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';

/** One guest is booted for all files, which come one after the other. In a guest all takes several times as long. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    globalSetup: ['../../tools/whole-build.mjs', '../left-over/reap.ts', 'shared-guest.ts'],
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 300_000,
  },
});
