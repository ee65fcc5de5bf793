import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { addReports, formatCounts, readReport } from './report.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lariat-report-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('counts tests over several reports, and names what was skipped or failed', () => {
  const path = join(folder, 'a.json');
  const test = (fullName: string, status: string) => ({ fullName, status });
  writeFileSync(
    path,
    JSON.stringify({
      testResults: [
        {
          name: 'a.test.ts',
          status: 'failed',
          assertionResults: [
            test('works', 'passed'),
            test('breaks', 'failed'),
            test('needs spdk', 'skipped'),
          ],
        },
        { name: 'does-not-load.test.ts', status: 'failed', assertionResults: [] },
      ],
    }),
  );
  const one = readReport(path);
  expect(one).toEqual({
    passed: 1,
    failed: 2,
    skipped: 1,
    failedNames: ['breaks', 'does-not-load.test.ts'],
    skippedNames: ['needs spdk'],
  });
  expect(formatCounts(addReports([one ?? never(), one ?? never()]))).toBe(
    '2 passed, 4 failed, 2 skipped',
  );
});

it('is undefined where a suite wrote no report', () => {
  expect(readReport(join(folder, 'none.json'))).toBeUndefined();
});

function never(): never {
  throw new Error('the report was not read');
}
