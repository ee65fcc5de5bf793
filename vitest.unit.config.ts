import { defineConfig } from 'vitest/config';

/** Unit tests stand beside the source; each package runs them with `--root` set to its own folder. */
export default defineConfig({
  test: {
    include: ['src/**/*.test.ts'],
    exclude: ['dist/**', 'node_modules/**'],
  },
});
