import './tools/group-by.mjs';
import { join, relative } from 'node:path';
import { defineConfig } from 'vitest/config';

/** Where `lariat test` counts from, and nx's cache puts it back: see `test` in nx.json. */
const report = join(
  import.meta.dirname,
  '.lariat/reports/unit',
  `${relative(import.meta.dirname, process.cwd())}.json`,
);

/** Unit tests stand beside the source; each package runs them with `--root` set to its own folder. */
export default defineConfig({
  test: {
    include: ['src/**/*.test.ts'],
    exclude: ['dist/**', 'node_modules/**'],
    passWithNoTests: true,
    // What hangs must end; a machine that does much else at the same time is no failure.
    testTimeout: 30_000,
    hookTimeout: 30_000,
    reporters: ['default', ['json', { outputFile: report }]],
  },
});
