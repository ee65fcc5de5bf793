import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import config from '../.dependency-cruiser.mjs';

const root = join(import.meta.dirname, '..');
const bin = (name) => join(root, 'node_modules', '.bin', name);

/** A small workspace of the same shape: what it holds is allowed, but for what a test adds. */
const ALLOWED = {
  'libs/kernel/src/index.ts':
    "import { randomBytes } from 'node:crypto';\nexport const one = randomBytes;\n",
  'libs/kernel/dist/index.js': 'export const one = 1;\n',
  'libs/kernel/dist/ids.js': 'export const two = 2;\n',
  'libs/bus/src/index.ts':
    "import 'node:fs';\nimport '@lariat/kernel';\nimport '@nats-io/nkeys';\n",
  'libs/contracts/src/index.ts': "export * from '@lariat/kernel';\nimport 'class-validator';\n",
  'libs/testing/src/index.ts': "import 'vitest';\nexport const fault = 1;\n",
  'libs/testing/dist/index.js': 'export const fault = 1;\n',
  'apps/one/src/index.ts': "import { rule } from './domain/rule.js';\nexport { rule };\n",
  'apps/one/src/domain/rule.ts':
    "import { one } from '@lariat/kernel';\nexport const rule = one;\n",
  'apps/one/src/adapters/store.ts':
    "import 'node:fs';\nimport '@nats-io/nats-core';\nexport const store = 1;\n",
  'apps/one/src/rule.test.ts': "import 'vitest';\nimport '@lariat/testing';\n",
  'apps/two/src/index.ts': 'export const two = 2;\n',
  'apps/two/dist/index.js': 'export const two = 2;\n',
};

const kinds = ['kernel', 'testing'].map((name) => [name, `libs/${name}`]);
const PACKAGES = new Map([...kinds, ['two', 'apps/two']]);
const OTHERS = ['@nats-io', '@nestjs', '@opentelemetry', 'class-validator', 'vitest', 'commander'];
/** Packages of the scopes above, as a package.json names them. */
const SCOPED = ['@nats-io/nats-core', '@nats-io/nkeys', '@nestjs/common', '@opentelemetry/api'];

let folder;
const write = (path, text) => {
  mkdirSync(join(folder, dirname(path)), { recursive: true });
  writeFileSync(join(folder, path), text);
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lariat-boundaries-'));
  for (const [path, text] of Object.entries(ALLOWED)) write(path, text);
  mkdirSync(join(folder, 'node_modules', '@lariat'), { recursive: true });
  for (const [name, path] of PACKAGES) {
    const exports = { '.': './dist/index.js' };
    write(
      `${path}/package.json`,
      JSON.stringify({ name: `@lariat/${name}`, type: 'module', exports }),
    );
    symlinkSync(join(folder, path), join(folder, 'node_modules', '@lariat', name));
  }
  // Declared for all, but for the one that a test imports without.
  const declared = [
    ...OTHERS.filter((name) => name !== 'commander'),
    ...SCOPED,
    '@lariat/kernel',
  ].concat('@lariat/testing', '@lariat/two');
  const dependencies = Object.fromEntries(declared.map((name) => [name, '*']));
  write('package.json', JSON.stringify({ name: 'sample', dependencies }));
  for (const name of OTHERS) {
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Rules that are broken, with the file that breaks each. */
function violations() {
  const { stdout, stderr } = spawnSync(
    bin('depcruise'),
    [
      '--config',
      join(root, '.dependency-cruiser.mjs'),
      '--output-type',
      'json',
      'libs/*/src',
      'apps/*/src',
    ],
    { cwd: folder, encoding: 'utf8' },
  );
  if (stdout === '') throw new Error(stderr);
  const { summary } = JSON.parse(stdout);
  expect(summary.totalCruised).toBeGreaterThanOrEqual(Object.keys(ALLOWED).length - 3);
  return summary.violations.map(({ rule, from }) => `${rule.name}: ${from}`);
}

const BROKEN = [
  ['libs-never-import-apps', 'libs/contracts/src/bad.ts', "import '@lariat/two';"],
  ['apps-never-import-apps', 'apps/one/src/bad.ts', "import '@lariat/two';"],
  ['apps-never-import-apps', 'apps/one/src/bad.ts', "import '../../two/src/index.js';"],
  ['kernel-imports-nothing', 'libs/kernel/src/bad.ts', "import 'commander';"],
  ['bus-imports-kernel-only', 'libs/bus/src/bad.ts', "import '@nats-io/nats-core';"],
  ['contracts-import-kernel-and-bus-only', 'libs/contracts/src/bad.ts', "import 'commander';"],
  ['pure-libs-do-no-io', 'libs/kernel/src/bad.ts', "import { connect } from 'node:net';"],
  [
    'pure-libs-do-no-io',
    'libs/contracts/src/bad.ts',
    "import { readFile } from 'node:fs/promises';",
  ],
  ['pure-libs-do-no-io', 'libs/contracts/src/bad.ts', "import '@nestjs/common';"],
  ['domain-does-no-io', 'apps/one/src/domain/bad.ts', "import { readFileSync } from 'node:fs';"],
  ['domain-does-no-io', 'apps/one/src/domain/bad.ts', "import '@nats-io/nats-core';"],
  ['domain-does-no-io', 'apps/one/src/domain/bad.ts', "import '@opentelemetry/api';"],
  ['domain-imports-inwards', 'apps/one/src/domain/bad.ts', "import '../adapters/store.js';"],
  ['no-deep-imports', 'apps/one/src/bad.ts', "import '../../../libs/kernel/dist/ids.js';"],
  [
    'no-deep-imports',
    'apps/one/src/bad.ts',
    "import '@lariat/kernel/dist/ids.js';",
    'no-unresolvable',
  ],
  ['test-code-stays-in-tests', 'apps/one/src/bad.ts', "import '@lariat/testing';"],
  ['test-code-stays-in-tests', 'apps/one/src/bad.ts', "import 'vitest';"],
  ['no-undeclared-dependencies', 'apps/one/src/bad.ts', "import 'commander';"],
  ['no-unresolvable', 'apps/one/src/bad.ts', "import 'a-package-that-is-not-there';"],
];

describe('the boundaries', () => {
  it('let through what they should', () => {
    expect(violations()).toEqual([]);
  });

  it.each(BROKEN)('%s: %s with %s', (rule, path, text, instead = rule) => {
    write(path, `${text}\nexport const bad = 1;\n`);
    try {
      expect(violations()).toContain(`${instead}: ${path}`);
    } finally {
      rmSync(join(folder, path));
    }
  });

  it('are each tried out above', () => {
    const tried = new Set(BROKEN.map(([rule]) => rule));
    expect(config.forbidden.map(({ name }) => name).filter((name) => !tried.has(name))).toEqual([]);
  });
});

it('the tree itself keeps to them, and is seen: it has edges from package to package', () => {
  const { stdout } = spawnSync(
    bin('depcruise'),
    ['--config', '.dependency-cruiser.mjs', '--output-type', 'json', 'libs/*/src', 'apps/*/src'],
    { cwd: root, encoding: 'utf8', maxBuffer: 256 * 2 ** 20 },
  );
  const { summary, modules } = JSON.parse(stdout);
  const between = modules.flatMap(({ source, dependencies }) =>
    dependencies.filter(
      ({ resolved }) =>
        /^(libs|apps)\//.test(resolved) &&
        resolved.split('/').slice(0, 2).join('/') !== source.split('/').slice(0, 2).join('/'),
    ),
  );
  expect(summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`)).toEqual(
    [],
  );
  expect(between.length).toBeGreaterThan(100);
});

describe('cycles', () => {
  const lint = () =>
    spawnSync(bin('oxlint'), ['-c', join(root, '.oxlintrc.json'), 'apps/one/src'], {
      cwd: folder,
      encoding: 'utf8',
    });

  it('of code are found by the linter, and those of types are allowed', () => {
    const first = 'apps/one/src/first.ts';
    write(
      'apps/one/src/second.ts',
      "import { first } from './first.js';\nexport const second = () => first;\n",
    );
    write(
      first,
      "import type { second } from './second.js';\nexport const first = (x: typeof second) => x;\n",
    );
    expect(lint().stdout).not.toContain('no-cycle');
    write(first, "import { second } from './second.js';\nexport const first = () => second;\n");
    const found = lint();
    expect(found.status).toBe(1);
    expect(found.stdout).toContain('no-cycle');
  });
});
