import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LariatError } from '@lariat/kernel';
import { nodeProcessRecords } from '../cluster/agent-file.js';
import { readClusterFile } from '../cluster/cluster-file.js';
import { startDetached } from '../cluster/detach.js';
import { CHECKOUT, clusterPaths, type ClusterPaths } from '../cluster/paths.js';
import {
  isRunning,
  type ProcessIdentity,
  signalProcess,
  waitForEnd,
} from '../cluster/process-identity.js';
import { runningCluster, stopRemains } from '../cluster/remains.js';
import { waitForNodes } from '../cluster/wait-for-nodes.js';
import { openSession, type OpenSession } from '../client/session.js';
import type { CommandContext } from '../context.js';
import { EXIT_CODE_BY_KIND, EXIT_INTERRUPTED } from '../exit-codes.js';
import { formatDuration } from '../output/durations.js';
import { Interrupted, StepFailure, Story } from './story.js';
import { Scenario } from './scenario.js';

export interface DemoOptions {
  readonly keep: boolean;
  /** The folder that the user chose; else a new one in the checkout. */
  readonly dataDir: string | undefined;
}

const NODES = ['n1', 'n2', 'n3'] as const;
const READY_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 45_000;

/** The longest path below a data folder that must fit into a socket address: a node's NBD socket. */
const LONGEST_BELOW_BYTES = '/nodes/n1/nbd/vol-0123456789ab.sock'.length;
const SOCKET_PATH_MAX_BYTES = 107;

/** Each demo has its own folder, so that two at once do not meet. */
function makeDataDir(chosen: string | undefined): string {
  if (chosen !== undefined) {
    mkdirSync(chosen, { recursive: true });
    if (readdirSync(chosen).length === 0) return chosen;
    throw new LariatError({
      kind: 'precondition',
      code: 'DATA_DIR_NOT_EMPTY',
      message: `${chosen} is not empty: give the demo an empty folder with --data, or none.`,
    });
  }
  const inCheckout = join(CHECKOUT, '.lariat', 'demo-');
  const fits =
    Buffer.byteLength(inCheckout) + 'XXXXXX'.length + LONGEST_BELOW_BYTES <= SOCKET_PATH_MAX_BYTES;
  const prefix = fits ? inCheckout : join(tmpdir(), 'lariat-demo-');
  if (fits) mkdirSync(join(CHECKOUT, '.lariat'), { recursive: true });
  return mkdtempSync(prefix);
}

/** Everything that ran, seen while it runs, so that it can be looked for after the stop. */
function seenProcesses(paths: ClusterPaths): readonly ProcessIdentity[] {
  const file = readClusterFile(paths.clusterFile);
  if (file === undefined) return [];
  const records = file.processes.flatMap((record) =>
    record.kind === 'agent' ? [record, ...nodeProcessRecords(paths, record.name)] : [record],
  );
  const identities = records.flatMap(({ pid, startTime }) =>
    pid === null ? [] : [{ pid, startTime }],
  );
  return [file.supervisor, ...identities];
}

async function stopCluster(paths: ClusterPaths): Promise<readonly string[]> {
  const seen = seenProcesses(paths);
  const supervisor = runningCluster(paths)?.supervisor;
  if (supervisor !== undefined) {
    signalProcess(supervisor, 'SIGTERM');
    await waitForEnd(supervisor, STOP_TIMEOUT_MS);
  }
  const alive = seen.filter(isRunning).map(({ pid }) => `process ${pid}`);
  await stopRemains(paths);
  return alive;
}

/** Runs the demo and answers its exit code; the cluster and its folder are gone after it, unless kept. */
export async function runDemo(context: CommandContext, options: DemoOptions): Promise<number> {
  const interrupted = context.interruption.takeOver();
  const { printer } = context;
  const story = new Story(printer, interrupted);
  const paths = clusterPaths(makeDataDir(options.dataDir));
  const startMs = performance.now();
  const demo = { ...context, paths };
  let open: OpenSession | undefined;
  let scenario: Scenario | undefined;
  let failed: unknown;
  story.say(`A cluster of three nodes on this machine, in ${paths.dataDir}\n`);
  try {
    const natsUrl = await story.step(
      'start',
      'start NATS, the services and three nodes',
      async () => {
        const url = await startDetached(
          { dataDir: paths.dataDir, nodes: NODES.length },
          interrupted,
        );
        await waitForNodes(url, paths.credentials, NODES, READY_TIMEOUT_MS);
        return url;
      },
      (url) => `NATS at ${url}`,
    );
    const place = { servers: natsUrl, credentials: paths.credentials };
    open = await openSession(place, 'demo', context.timeoutMs);
    scenario = new Scenario(story, demo, open);
    await scenario.run();
  } catch (error) {
    failed = error;
  }
  await scenario?.close().catch((error: unknown) => printer.note(`note: ${String(error)}`));
  await open?.close().catch((error: unknown) => printer.note(`note: ${String(error)}`));
  const isKept = options.keep && failed === undefined;
  let alive: readonly string[] = [];
  if (!isKept) {
    const stopMs = performance.now();
    alive = await stopCluster(paths);
    const ms = Math.round(performance.now() - stopMs);
    story.steps.push({ name: 'stop', ms });
    story.say(`${alive.length === 0 ? '✓' : '✗'} stop everything (${formatDuration(ms)})`);
    if (failed === undefined) rmSync(paths.dataDir, { recursive: true, force: true });
  }
  return conclude({ context, paths, story, scenario, failed, alive, isKept, startMs });
}

interface Conclusion {
  readonly context: CommandContext;
  readonly paths: ClusterPaths;
  readonly story: Story;
  readonly scenario: Scenario | undefined;
  readonly failed: unknown;
  readonly alive: readonly string[];
  readonly isKept: boolean;
  readonly startMs: number;
}

function conclude(end: Conclusion): number {
  const { context, paths, story, scenario, failed, isKept } = end;
  const { printer } = context;
  const result = scenario?.result;
  const leftovers = [...(result?.leftovers ?? []), ...end.alive];
  const ok = failed === undefined && leftovers.length === 0;
  const report = {
    ok,
    steps: story.steps,
    checksums: result?.checksums ?? {},
    replicasIdentical: result?.replicasIdentical ?? false,
    leftovers,
    traceId: result?.traceId ?? null,
  };
  if (failed instanceof Interrupted || context.interruption.isInterrupted) {
    rmSync(paths.dataDir, { recursive: true, force: true });
    printer.show({ ...report, ok: false, interrupted: true }, () => 'interrupted; all is stopped');
    return EXIT_INTERRUPTED;
  }
  if (failed !== undefined) return fail(failed, report, end);
  const took = formatDuration(performance.now() - end.startMs);
  printer.show(isKept ? { ...report, dataDir: paths.dataDir } : report, () =>
    [
      ok ? `Done in ${took}: no byte was lost.` : `Left over: ${leftovers.join(', ')}`,
      ...(isKept
        ? [
            `The cluster goes on: lariat status --data ${paths.dataDir}`,
            `Stop it with:       lariat down --data ${paths.dataDir}`,
          ]
        : []),
    ].join('\n'),
  );
  return ok ? 0 : EXIT_CODE_BY_KIND.internal;
}

function fail(reason: unknown, report: object, { context, paths }: Conclusion): number {
  const { printer } = context;
  if (!(reason instanceof StepFailure)) {
    printer.note(`logs: ${paths.logs}`);
    return printer.fail(reason);
  }
  const { step, error, traceId } = reason;
  if (printer.json) {
    const trace = traceId === undefined ? {} : { traceId };
    printer.show(
      {
        ...report,
        ok: false,
        failedStep: step,
        error: { ...error.toRecord(), ...trace },
        logs: paths.logs,
      },
      () => '',
    );
    return EXIT_CODE_BY_KIND[error.kind];
  }
  printer.note(
    `\nThe demo failed in step '${step}'. The cluster is stopped; its logs are in ${paths.logs}`,
  );
  return printer.fail(error);
}
