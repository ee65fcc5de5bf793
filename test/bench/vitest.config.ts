import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';

/** Run by name only (`./lariat test bench`): what it prints depends on the machine. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    globalSetup: ['../../tools/whole-build.mjs'],
    include: ['**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 120_000,
  },
});
