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

const TEST_FOLDER = join(CHECKOUT, 'test');

/** A folder with a vitest configuration of its own. */
function suite(name: string, folder: string): Stage {
  const report = join(REPORTS, `${name}.json`);
  return {
    name,
    program: bin('vitest'),
    args: [
      'run',
      ...['--config', join(folder, 'vitest.config.ts'), '--root', folder],
      ...['--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
      `--reporter=${join(CHECKOUT, 'tools', 'tell-failures.mjs')}`,
    ],
    reports: () => (existsSync(report) ? [report] : []),
  };
}

/** The quicker, and the nearer to the parts, the earlier. */
const FIRST: readonly string[] = ['contract', 'fuzz', 'e2e', 'chaos'];
/** Takes the most to set up, and stands on what all others test. */
const LAST = 'compose';

const rank = (name: string): number => {
  if (name === LAST) return FIRST.length + 1;
  const index = FIRST.indexOf(name);
  return index === -1 ? FIRST.length : index;
};

function suiteNames(): readonly string[] {
  if (!existsSync(TEST_FOLDER)) return [];
  return readdirSync(TEST_FOLDER, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .filter((name) => existsSync(join(TEST_FOLDER, name, 'vitest.config.ts')))
    .toSorted((a, b) => rank(a) - rank(b) || a.localeCompare(b));
}

/** Every stage that exists in this checkout, by its name on the command line. */
export function allStages(): readonly Stage[] {
  return [
    check('format', 'oxfmt', '--check', '.'),
    // Not in tsconfig.solution.json: what `up` and `demo` build before they start should not wait for the tests.
    check('types', 'tsc', '-b', 'tsconfig.solution.json', 'test'),
    check('lint', 'nx', 'run-many', '-t', 'lint', '--outputStyle=static'),
    check('lint-tools', 'oxlint', '--type-aware', ...existing('tools', 'test', 'examples')),
    check(
      'boundaries',
      'depcruise',
      ...['--config', '.dependency-cruiser.mjs', '--output-type', 'err'],
      // Patterns of depcruise's own: built files are no sources.
      ...['libs/*/src', 'apps/*/src', ...existing('test', 'examples').map((name) => `${name}/*`)],
    ),
    {
      name: 'unit',
      program: bin('nx'),
      args: ['run-many', '-t', 'test', '--outputStyle=static'],
      reports: unitReports,
    },
    suite('tools', join(CHECKOUT, 'tools')),
    ...suiteNames().map((name) => suite(name, join(TEST_FOLDER, name))),
  ];
}

/** Measures, and needs a machine that does nothing else: run by name only. */
const ON_REQUEST: ReadonlySet<string> = new Set(['bench']);

export const isDefault = (stage: Stage): boolean => !ON_REQUEST.has(stage.name);

/** Counts of a stage that did not run must not be those of the last time. */
export function forgetReports(stage: Stage): void {
  for (const path of stage.reports()) rmSync(path, { force: true });
}
