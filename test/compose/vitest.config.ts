import '../../tools/group-by.mjs';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Its containers take the place of those that all others use, and would have to make way again. */
const LAST = 'options.test.ts';

class OptionsLast extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLast = ({ moduleId }: TestSpecification): boolean => moduleId.endsWith(`/${LAST}`);
    return [...sorted.filter((file) => !isLast(file)), ...sorted.filter(isLast)];
  }
}

/** One engine with one set of containers serves all files, which come one after the other. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    globalSetup: ['../../tools/whole-build.mjs', '../left-over/reap.ts', 'shared-stack.ts'],
    sequence: { sequencer: OptionsLast },
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
