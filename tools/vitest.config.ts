import './group-by.mjs';
import { defineConfig } from 'vitest/config';

/** Tests of the launcher and of the boundary rules: they start programs, which takes its time. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.mjs'],
    testTimeout: 30_000,
  },
});
