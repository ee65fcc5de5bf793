import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { CHECKOUT } from '../cluster/paths.js';
import { addReports, readReport, type SuiteReport } from './report.js';
import { forgetReports, type Stage } from './stages.js';

export interface StageResult {
  readonly name: string;
  readonly ok: boolean;
  readonly exitCode: number;
  readonly ms: number;
  readonly counts: SuiteReport;
}

/** A fuzzer's share of a soak, unless LARIAT_FUZZ_SECONDS says otherwise. */
const SOAK_FUZZ_SECONDS = 600;

/** What the suites read (test/chaos, test/fuzz): with it they take all that they else draw a share of. */
export function soakEnv(
  rounds: number | undefined,
  env: NodeJS.ProcessEnv,
): Readonly<Record<string, string>> {
  if (rounds === undefined) return {};
  const seconds = env.LARIAT_FUZZ_SECONDS ?? String(SOAK_FUZZ_SECONDS);
  return { LARIAT_SOAK: String(rounds), LARIAT_FUZZ_SECONDS: seconds };
}

/** Caches of the tools stay in the checkout, and no daemon stays behind. */
function toolEnv(): NodeJS.ProcessEnv {
  const cache = join(CHECKOUT, '.lariat', 'nx');
  const home = join(CHECKOUT, '.lariat', 'tools');
  return {
    ...process.env,
    XDG_CACHE_HOME: join(home, 'cache'),
    XDG_DATA_HOME: join(home, 'data'),
    NX_DAEMON: 'false',
    NX_TUI: 'false',
    NX_NO_CLOUD: 'true',
    NX_CACHE_DIRECTORY: join(cache, 'cache'),
    NX_WORKSPACE_DATA_DIRECTORY: join(cache, 'workspace-data'),
    NX_NATIVE_FILE_CACHE_DIRECTORY: join(cache, 'native'),
    NX_SOCKET_DIR: join(cache, 'socket'),
  };
}

/** Runs one stage with its output on stderr or, with `quiet`, nowhere. */
export async function runStage(
  stage: Stage,
  quiet: boolean,
  interrupted: AbortSignal,
  soakRounds?: number,
): Promise<StageResult> {
  forgetReports(stage);
  const startMs = performance.now();
  const exitCode = await new Promise<number>((resolve) => {
    const child = spawn(stage.program, stage.args, {
      cwd: CHECKOUT,
      env: { ...toolEnv(), ...soakEnv(soakRounds, process.env) },
      stdio: ['ignore', quiet ? 'ignore' : 2, quiet ? 'ignore' : 2],
    });
    // Ctrl-C reaches the child from the terminal too; a SIGTERM to this process does not.
    const stop = (): void => {
      child.kill('SIGTERM');
    };
    interrupted.addEventListener('abort', stop, { once: true });
    child.once('error', (error) => {
      process.stderr.write(`${stage.program} cannot be run: ${error.message}\n`);
      resolve(127);
    });
    child.once('close', (code) => {
      interrupted.removeEventListener('abort', stop);
      resolve(code ?? 128);
    });
  });
  return {
    name: stage.name,
    exitCode,
    ms: Math.round(performance.now() - startMs),
    ...judge(stage, exitCode),
  };
}

/** A stage that failed without a failed test still counts as a failure. */
function judge(stage: Stage, exitCode: number): Pick<StageResult, 'ok' | 'counts'> {
  const reports = stage.reports().flatMap((path) => readReport(path) ?? []);
  const counts = addReports(reports);
  const ok = exitCode === 0 && counts.failed === 0;
  if (ok && reports.length > 0) return { ok, counts };
  if (ok) return { ok, counts: { ...counts, passed: counts.passed + 1 } };
  if (counts.failed > 0) return { ok, counts };
  return {
    ok,
    counts: { ...counts, failed: 1, failedNames: [`${stage.name} (exit code ${exitCode})`] },
  };
}
