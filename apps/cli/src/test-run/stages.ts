import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CHECKOUT } from '../cluster/paths.js';

/** One program that `lariat test` runs, and where its counts are. */
export interface Stage {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Files of vitest's JSON reporter; none: the stage counts as one test, passed or failed. */
  reports(): readonly string[];
}

const REPORTS = join(CHECKOUT, '.lariat', 'reports');
const UNIT_REPORTS = join(REPORTS, 'unit');

const bin = (name: string): string => join(CHECKOUT, 'node_modules', '.bin', name);

const check = (name: string, program: string, ...args: readonly string[]): Stage => ({
  name,
  program: bin(program),
  args,
  reports: () => [],
});

/** Folders that hold sources; those that do not exist yet are left out. */
const existing = (...folders: readonly string[]): readonly string[] =>
  folders.filter((folder) => existsSync(join(CHECKOUT, folder)));

function unitReports(): readonly string[] {
  if (!existsSync(UNIT_REPORTS)) return [];
  return readdirSync(UNIT_REPORTS, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.json'))
    .map((entry) => join(entry.parentPath, entry.name));
}

const suiteConfig = (name: string): string => join(CHECKOUT, 'test', name, 'vitest.config.ts');

/** Suites below test/ that are run by default, in this order; others are run by name. */
const DEFAULT_SUITES = ['boundaries', 'contract', 'e2e', 'chaos'] as const;

function suite(name: string): Stage {
  const report = join(REPORTS, `${name}.json`);
  return {
    name,
    program: bin('vitest'),
    args: [
      'run',
      ...['--config', suiteConfig(name), '--root', join(CHECKOUT, 'test', name)],
      ...['--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
    ],
    reports: () => (existsSync(report) ? [report] : []),
  };
}

/** Every stage that exists in this checkout, by its name on the command line. */
export function allStages(): readonly Stage[] {
  const suites = readdirSync(join(CHECKOUT, 'test'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(suiteConfig(entry.name)))
    .map((entry) => entry.name)
    .toSorted(
      (a, b) =>
        DEFAULT_SUITES.findIndex((name) => name === a) -
        DEFAULT_SUITES.findIndex((name) => name === b),
    );
  return [
    check('format', 'oxfmt', '--check', '.'),
    check('lint', 'nx', 'run-many', '-t', 'lint', '--outputStyle=static'),
    check('lint-tools', 'oxlint', '--type-aware', ...existing('tools', 'test', 'examples')),
    check(
      'boundaries',
      'depcruise',
      ...['--config', '.dependency-cruiser.mjs'],
      ...existing('libs', 'apps', 'test', 'examples'),
    ),
    {
      name: 'unit',
      program: bin('nx'),
      args: ['run-many', '-t', 'test', '--outputStyle=static'],
      reports: unitReports,
    },
    ...suites.map((name) => suite(name)),
  ];
}

/** Suites that take long or need what few machines have: run by name only. */
const ON_REQUEST: ReadonlySet<string> = new Set(['bench', 'compose', 'vm']);

export const isDefault = (stage: Stage): boolean => !ON_REQUEST.has(stage.name);

/** Counts of a stage that did not run must not be those of the last time. */
export function forgetReports(stage: Stage): void {
  for (const path of stage.reports()) rmSync(path, { force: true });
}
