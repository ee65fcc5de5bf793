import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';

/**
 * Each file has a cluster of its own; most of a run is waiting for a dead process's work to be taken up. More than
 * two at a time would make the machine so slow that restarts are taken for deaths.
 */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    fileParallelism: true,
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
