import { type Command, Option } from 'commander';
import { usageError } from '../context.js';
import { EXIT_INTERRUPTED } from '../exit-codes.js';
import { formatDuration } from '../output/durations.js';
import { formatTable } from '../output/table.js';
import { addReports, formatCounts } from '../test-run/report.js';
import { runStage, type StageResult } from '../test-run/run-stage.js';
import { allStages, isDefault, type Stage } from '../test-run/stages.js';
import { offline, parseCount, type Runtime } from './runtime.js';

function choose(names: readonly string[]): readonly Stage[] {
  const stages = allStages();
  if (names.length === 0) return stages.filter(isDefault);
  const unknown = names.find((name) => !stages.some((stage) => stage.name === name));
  if (unknown !== undefined) {
    throw usageError(
      `There is no stage '${unknown}'. There are: ${stages.map(({ name }) => name).join(', ')}.`,
    );
  }
  return stages.filter((stage) => names.includes(stage.name));
}

function formatSummary(results: readonly StageResult[]): string {
  const total = addReports(results.map(({ counts }) => counts));
  const table = formatTable<StageResult>(
    [
      { title: '', value: (row) => (row.ok ? '✓' : '✗') },
      { title: 'STAGE', value: (row) => row.name },
      { title: 'PASSED', align: 'right', value: (row) => String(row.counts.passed) },
      { title: 'FAILED', align: 'right', value: (row) => String(row.counts.failed) },
      { title: 'SKIPPED', align: 'right', value: (row) => String(row.counts.skipped) },
      { title: 'TOOK', align: 'right', value: (row) => formatDuration(row.ms) },
    ],
    results,
  );
  return [
    '',
    table,
    ...section('skipped (the machine lacks what they need):', total.skippedNames),
    ...section('failed:', total.failedNames),
    '',
    formatCounts(total),
  ].join('\n');
}

function section(title: string, names: readonly string[]): readonly string[] {
  return names.length === 0 ? [] : ['', title, ...names.map((name) => `  ${name}`)];
}

export function addTestCommand(program: Command, runtime: Runtime): void {
  program
    .command('test')
    .description('run the checks and tests of this checkout, or the stages that are named')
    .argument(
      '[stages...]',
      'format, types, lint, lint-tools, boundaries, unit, tools, and each suite below test/; default: all but bench',
    )
    .addOption(
      new Option(
        '--soak [rounds]',
        'for hours: each position where a process may die, every fuzzer for 10 minutes, and this many rounds of faults',
      )
        .argParser(parseCount)
        .preset('10'),
    )
    .action((names: readonly string[], { soak }: { soak?: number }, command: Command) =>
      offline(runtime, command, async ({ printer, interruption }) => {
        const stages = choose(names);
        const interrupted = interruption.takeOver();
        const results: StageResult[] = [];
        for (const stage of stages) {
          if (interrupted.aborted) break;
          printer.note(`\n== ${stage.name} ==`);
          results.push(await runStage(stage, printer.json, interrupted, soak));
        }
        const total = addReports(results.map(({ counts }) => counts));
        const { passed, failed, skipped } = total;
        const ok = failed === 0 && !interrupted.aborted && results.every((result) => result.ok);
        printer.show({ ok, passed, failed, skipped, stages: results }, () =>
          formatSummary(results),
        );
        if (interrupted.aborted) runtime.setExitCode(EXIT_INTERRUPTED);
        else if (!ok) runtime.setExitCode(1);
      }),
    );
}
