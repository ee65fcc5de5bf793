import { readJsonFile } from '../cluster/cluster-file.js';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface SuiteReport extends Counts {
  readonly skippedNames: readonly string[];
  readonly failedNames: readonly string[];
}

export const NOTHING: SuiteReport = {
  passed: 0,
  failed: 0,
  skipped: 0,
  skippedNames: [],
  failedNames: [],
};

/** What of vitest's JSON report is read here. */
interface VitestReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** Counts one report; undefined when there is none. A file that failed before its tests counts as failed once. */
export function readReport(path: string): SuiteReport | undefined {
  const report = readJsonFile(path) as VitestReport | undefined;
  if (report === undefined) return undefined;
  const tests = report.testResults.flatMap((file) => file.assertionResults);
  const namesOf = (...states: readonly string[]): readonly string[] =>
    tests.filter(({ status }) => states.includes(status)).map(({ fullName }) => fullName);
  const brokenFiles = report.testResults
    .filter(
      (file) =>
        file.status === 'failed' &&
        !file.assertionResults.some(({ status }) => status === 'failed'),
    )
    .map(({ name }) => name);
  const failedNames = [...namesOf('failed'), ...brokenFiles];
  const skippedNames = namesOf('skipped', 'pending', 'todo', 'disabled');
  return {
    passed: namesOf('passed').length,
    failed: failedNames.length,
    skipped: skippedNames.length,
    failedNames,
    skippedNames,
  };
}

export function addReports(reports: readonly SuiteReport[]): SuiteReport {
  return reports.reduce<SuiteReport>(
    (sum, one) => ({
      passed: sum.passed + one.passed,
      failed: sum.failed + one.failed,
      skipped: sum.skipped + one.skipped,
      skippedNames: [...sum.skippedNames, ...one.skippedNames],
      failedNames: [...sum.failedNames, ...one.failedNames],
    }),
    NOTHING,
  );
}

export const formatCounts = ({ passed, failed, skipped }: Counts): string =>
  `${passed} passed, ${failed} failed, ${skipped} skipped`;
