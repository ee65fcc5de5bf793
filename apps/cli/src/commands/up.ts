import { resolve } from 'node:path';
import { LariatError, formatBytes, redisUrlProblem } from '@lariat/kernel';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { given } from '../client/given.js';
import { nodeProcessRecords } from '../cluster/agent-file.js';
import {
  type ClusterFile,
  type ProcessRecord,
  readClusterFile,
  type TargetKind,
} from '../cluster/cluster-file.js';
import { lockOwner } from '../cluster/data-dir-lock.js';
import { startDetached } from '../cluster/detach.js';
import { resolvePlugin } from '../cluster/launch-plan.js';
import type { ClusterPaths } from '../cluster/paths.js';
import { signalProcess, waitForEnd } from '../cluster/process-identity.js';
import { runningCluster, stopRemains } from '../cluster/remains.js';
import { type ClusterOptions, startCluster } from '../cluster/start-cluster.js';
import { waitForNodes } from '../cluster/wait-for-nodes.js';
import { type CommandContext, usageError } from '../context.js';
import { EXIT_INTERRUPTED } from '../exit-codes.js';
import { formatDuration } from '../output/durations.js';
import { processTable, toProcessViews, totalResidentBytes } from './cluster-view.js';
import { collect, offline, parseCount, parseSize, type Runtime } from './runtime.js';

interface UpOptions {
  readonly nodes?: number;
  readonly detach?: boolean;
  readonly plugin?: readonly string[];
  readonly target?: TargetKind;
  readonly spdkBin?: string;
  readonly diskSize?: number;
  readonly split?: boolean;
  readonly redis?: string;
}

const NODES_READY_TIMEOUT_MS = 20_000;
const DOWN_TIMEOUT_MS = 45_000;

function clusterOptions(options: UpOptions, paths: ClusterPaths): Omit<ClusterOptions, 'said'> {
  if (options.target === 'spdk' && options.spdkBin === undefined) {
    throw usageError('--target spdk needs --spdk-bin PATH, the path of spdk_tgt.');
  }
  return {
    dataDir: paths.dataDir,
    plugins: (options.plugin ?? []).map((reference) => resolvePlugin(reference)),
    split: options.split === true,
    ...given({ nodes: options.nodes, diskSizeBytes: options.diskSize, target: options.target }),
    ...(options.spdkBin === undefined ? {} : { spdkBin: resolve(options.spdkBin) }),
  };
}

/** What runs, with the targets and frontends that the agents run. */
export function runningProcesses(paths: ClusterPaths, file: ClusterFile): readonly ProcessRecord[] {
  return file.processes.flatMap((record) =>
    record.kind === 'agent' ? [record, ...nodeProcessRecords(paths, record.name)] : [record],
  );
}

function showUp(context: CommandContext, natsUrl: string, sinceMs: number): void {
  const { paths, printer } = context;
  const file = readClusterFile(paths.clusterFile);
  if (file === undefined) return;
  const processes = toProcessViews(runningProcesses(paths, file));
  printer.show({ ...file, natsUrl, processes }, () =>
    [
      processTable(processes),
      '',
      `ready in ${formatDuration(performance.now() - sinceMs)}; NATS at ${natsUrl}; data in ${paths.dataDir}`,
      "next: lariat volume create NAME --size 1GiB, or 'lariat --help'",
    ].join('\n'),
  );
}

const agentNames = (file: ClusterFile | undefined): readonly string[] =>
  (file?.processes ?? []).filter(({ kind }) => kind === 'agent').map(({ name }) => name);

async function upDetached(
  runtime: Runtime,
  context: CommandContext,
  options: UpOptions,
): Promise<void> {
  const startMs = performance.now();
  const { paths, interruption } = context;
  const interrupted = interruption.takeOver();
  let natsUrl: string;
  try {
    natsUrl = await startDetached(clusterOptions(options, paths), interrupted);
  } catch (error) {
    if (!interrupted.aborted) throw error;
    runtime.setExitCode(EXIT_INTERRUPTED);
    return;
  }
  await waitForNodes(
    natsUrl,
    paths.credentials,
    agentNames(readClusterFile(paths.clusterFile)),
    NODES_READY_TIMEOUT_MS,
  );
  showUp(context, natsUrl, startMs);
}

async function upForeground(
  runtime: Runtime,
  context: CommandContext,
  options: UpOptions,
): Promise<void> {
  const startMs = performance.now();
  const { paths, printer, interruption } = context;
  const interrupted = interruption.takeOver();
  const whenInterrupted = new Promise<void>((interruptedNow) => {
    if (interrupted.aborted) interruptedNow();
    interrupted.addEventListener('abort', () => interruptedNow(), { once: true });
  });
  const cluster = await startCluster({
    ...clusterOptions(options, paths),
    said: (line) => printer.note(`lariat: ${line}`),
  });
  try {
    if (!interrupted.aborted) {
      await Promise.race([
        waitForNodes(
          cluster.natsUrl,
          paths.credentials,
          agentNames(cluster.file()),
          NODES_READY_TIMEOUT_MS,
        ),
        whenInterrupted,
      ]);
    }
    if (!interrupted.aborted) {
      showUp(context, cluster.natsUrl, startMs);
      printer.note('Ctrl-C stops it.');
    }
    await whenInterrupted;
  } finally {
    await cluster.stop();
  }
  runtime.setExitCode(EXIT_INTERRUPTED);
}

function parseRedisUrl(text: string): string {
  const problem = redisUrlProblem(text);
  if (problem !== undefined) throw new InvalidArgumentError(problem);
  return text;
}

export function addUpCommand(program: Command, runtime: Runtime): void {
  program
    .command('up')
    .description('start a cluster on this machine, or the one that was in the data folder')
    .option(
      '--nodes <number>',
      'how many nodes at least (default: as last time, else 3)',
      parseCount,
    )
    .option('--detach', 'return when the cluster is ready, and leave it running')
    .option(
      '--disk-size <size>',
      'size of the disk of each new node (default 4GiB, sparse)',
      parseSize,
    )
    .option('--plugin <path>', 'a plugin of your own, path or package; may be given again', collect)
    .addOption(
      new Option('--target <kind>', 'soft: built in; spdk: real spdk_tgt processes').choices([
        'soft',
        'spdk',
      ]),
    )
    .option('--spdk-bin <path>', 'path of spdk_tgt, for --target spdk')
    .option('--split', 'each service in a process of its own')
    .option(
      '--redis <url>',
      'where the services keep lists that they share, also $LARIAT_REDIS_URL (default: in memory)',
      parseRedisUrl,
    )
    .action((options: UpOptions, command: Command) =>
      offline(runtime, command, (context) => {
        // By the environment, as on a command line everybody on the machine would see its password.
        if (options.redis !== undefined) process.env['LARIAT_REDIS_URL'] = options.redis;
        return options.detach === true
          ? upDetached(runtime, context, options)
          : upForeground(runtime, context, options);
      }),
    );
}

async function down(context: CommandContext): Promise<void> {
  const { paths, printer } = context;
  // A supervisor that is just starting holds the lock and has no cluster file yet.
  const supervisor = runningCluster(paths)?.supervisor ?? lockOwner(paths.lockFile);
  if (supervisor !== undefined) {
    signalProcess(supervisor, 'SIGTERM');
    if (!(await waitForEnd(supervisor, DOWN_TIMEOUT_MS))) {
      throw new LariatError({
        kind: 'timeout',
        code: 'DEADLINE_EXCEEDED',
        message: `The supervisor (pid ${supervisor.pid}) did not stop within ${DOWN_TIMEOUT_MS / 1000} s. See ${paths.log('supervisor')}; kill it, and run 'lariat down' again to stop what it leaves.`,
      });
    }
  }
  const remains = await stopRemains(paths);
  const wasRunning = supervisor !== undefined || remains.length > 0;
  printer.show({ dataDir: paths.dataDir, wasRunning, stoppedRemains: remains }, () =>
    wasRunning
      ? `stopped the cluster in ${paths.dataDir}; its data stays`
      : `no cluster runs in ${paths.dataDir}`,
  );
}

export function addDownCommand(program: Command, runtime: Runtime): void {
  program
    .command('down')
    .description('stop the cluster; its data stays')
    .action((_options: unknown, command: Command) => offline(runtime, command, down));
}

export function addStatusCommand(program: Command, runtime: Runtime): void {
  program
    .command('status')
    .description('show what runs: the URL of NATS, and each process with its pid and memory')
    .action((_options: unknown, command: Command) =>
      offline(runtime, command, async ({ paths, printer }) => {
        const file = runningCluster(paths);
        if (file === undefined) {
          throw new LariatError({
            kind: 'unavailable',
            code: 'CLUSTER_NOT_RUNNING',
            message: `No cluster runs in ${paths.dataDir}. Start one with 'lariat up'.`,
          });
        }
        const processes = toProcessViews(runningProcesses(paths, file));
        printer.show({ ...file, logs: paths.logs, credentials: paths.credentials, processes }, () =>
          [
            processTable(processes),
            '',
            `cluster: ${file.state} since ${file.startedAt} (supervisor ${file.supervisor.pid})`,
            `NATS:    ${file.natsUrl ?? '-'}`,
            `keys:    ${paths.credentials}`,
            `data:    ${paths.dataDir}`,
            `logs:    ${paths.logs}`,
            `memory:  ${formatBytes(totalResidentBytes(processes))}`,
          ].join('\n'),
        );
      }),
    );
}
