/**
 * Which part may import which: the rules of ARCHITECTURE.md, checked by `lariat test boundaries`.
 * tools/boundaries.test.mjs shows for each rule that it bites. Cycles are oxlint's to find (import/no-cycle): this
 * parser cannot tell an import of types, which may go in a circle, from one of code.
 */
const TESTS = ['\\.test\\.ts$', '^test/', '^apps/[^/]+/src/testing/', '^libs/testing/'];

/** A package by its name, resolved or not. */
const packages = (...names) => `(^|node_modules/)(${names.join('|')})(/|$)`;

const FRAMEWORKS = packages('@nestjs', '@nats-io', '@opentelemetry', 'lmdb');
const INPUT_OUTPUT =
  '^(node:)?(net|tls|dgram|dns|fs|http|https|http2|child_process|worker_threads|cluster)(/promises)?$';

const forbid = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to });

export default {
  forbidden: [
    forbid(
      'libs-never-import-apps',
      'A library knows nothing of who uses it.',
      { path: '^libs/' },
      { path: '^apps/' },
    ),
    forbid(
      'apps-never-import-apps',
      'Apps speak over NATS, JSON-RPC or a command line, so that each can run alone.',
      { path: '^apps/([^/]+)/' },
      { path: '^apps/', pathNot: '^apps/$1/' },
    ),
    forbid(
      'kernel-imports-nothing',
      'The kernel is below everything: no other package, of ours or of others.',
      { path: '^libs/kernel/src/', pathNot: TESTS },
      { pathNot: '^libs/kernel/src/', dependencyTypesNot: ['core'] },
    ),
    forbid(
      'bus-imports-kernel-only',
      'Who may say what is needed before anything is started: the kernel and the keys of NATS alone.',
      { path: '^libs/bus/src/', pathNot: TESTS },
      {
        pathNot: ['^libs/(bus/src|kernel)/', packages('@nats-io/nkeys')],
        dependencyTypesNot: ['core'],
      },
    ),
    forbid(
      'contracts-import-kernel-and-bus-only',
      'The language between the parts needs no part: the kernel, the names on the bus and the validators alone.',
      { path: '^libs/contracts/src/', pathNot: TESTS },
      {
        pathNot: [
          '^libs/(contracts/src|kernel|bus)/',
          packages('class-validator', 'class-transformer', 'reflect-metadata'),
        ],
        dependencyTypesNot: ['core'],
      },
    ),
    forbid(
      'pure-libs-do-no-io',
      'kernel and contracts decide and describe; others read, write and wait.',
      { path: '^libs/(kernel|contracts)/src/', pathNot: TESTS },
      { path: [FRAMEWORKS, INPUT_OUTPUT] },
    ),
    forbid(
      'domain-does-no-io',
      'The rules of an app are functions of their input: no framework, no I/O.',
      { path: '^apps/[^/]+/src/domain/', pathNot: TESTS },
      { path: [FRAMEWORKS, INPUT_OUTPUT] },
    ),
    forbid(
      'domain-imports-inwards',
      'domain <- app <- adapters: the domain knows no outer layer of its app.',
      { path: '^apps/([^/]+)/src/domain/', pathNot: TESTS },
      { path: '^apps/$1/src/', pathNot: '^apps/$1/src/domain/' },
    ),
    forbid(
      'no-deep-imports',
      'Of another package only its index is there to be used.',
      { path: '^(libs|apps|test|examples)/([^/]+)/' },
      {
        path: '^(libs|apps)/[^/]+/(src|dist)/',
        pathNot: ['^$1/$2/', '^(libs|apps)/[^/]+/(src|dist)/index\\.(ts|js|d\\.ts)$'],
      },
    ),
    forbid(
      'test-code-stays-in-tests',
      'Fault points and test runners are not part of what runs.',
      { path: '^(libs|apps|examples)/', pathNot: TESTS },
      { path: ['^libs/testing/', packages('vitest', 'fast-check')] },
    ),
    forbid(
      'no-undeclared-dependencies',
      'Another package may bring it along today, and not tomorrow: name it in package.json.',
      { pathNot: '^test/' },
      { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    ),
    forbid('no-unresolvable', 'What is imported must be there.', {}, { couldNotResolve: true }),
  ],
  options: {
    parser: 'swc',
    // What every package needs, such as the test runner, is in the root's package.json.
    combinedDependencies: true,
    // What is built is looked at as a target, never as a source: cruise src folders.
    exclude: { path: ['[.]d[.]ts$'] },
    doNotFollow: { path: ['node_modules', '(^|/)dist/'] },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'default'],
      extensions: ['.ts', '.mjs', '.js', '.d.ts'],
    },
  },
};
