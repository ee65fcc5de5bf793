import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';

/** Each file has a cluster of its own; most of a run is waiting for a dead process's work to be taken up. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    fileParallelism: true,
    maxWorkers: 3,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
