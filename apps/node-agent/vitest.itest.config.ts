import { defineConfig } from 'vitest/config';

/** Against the built agent, the built soft-target and a real nats-server: `npx tsc -b` first. */
export default defineConfig({
  test: {
    include: ['itest/**/*.itest.ts'],
    // class-transformer's decorators in the contracts need it before they load.
    setupFiles: ['reflect-metadata'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Each file starts processes of its own; two at once would only fight over the two cores.
    fileParallelism: false,
  },
});
