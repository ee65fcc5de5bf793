import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';

/** These have devices, mounts and programs of the host, which is one: alone, after all others. */
const ON_THE_HOST = ['csi-*.test.ts', 'loop-device.test.ts', 'image-bad-input.test.ts'];

/** Each file has a cluster of its own, which waits most of the time: two at once leave half of two cores idle. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    globalSetup: ['../../tools/whole-build.mjs', '../left-over/reap.ts'],
    testTimeout: 90_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          ...{
            name: 'clusters',
            include: ['**/*.test.ts'],
            exclude: ['**/node_modules/**', ...ON_THE_HOST],
          },
          ...{ maxWorkers: 2, sequence: { groupOrder: 0 } },
        },
      },
      {
        extends: true,
        test: {
          ...{ name: 'host', include: ON_THE_HOST },
          ...{ fileParallelism: false, sequence: { groupOrder: 1 } },
        },
      },
    ],
  },
});
