import { mkdirSync, rmSync } from 'node:fs';
import { GIB, LariatError } from '@lariat/kernel';
import {
  type ClusterConfig,
  type ClusterFile,
  type ProcessRecord,
  readClusterConfig,
  type TargetKind,
} from './cluster-file.js';
import { serveControl } from './control.js';
import { lockDataDir } from './data-dir-lock.js';
import { defaultLaunchPlan, type LaunchPlan, type NodeConfig } from './launch-plan.js';
import { findNatsServer } from './nats-server.js';
import { clusterPaths, type ClusterPaths } from './paths.js';
import { stopRemains } from './remains.js';
import { Supervisor } from './supervisor.js';
import type { ProcessTiming } from './supervised-process.js';

export const DEFAULT_NODES = 3;
export const DEFAULT_DISK_SIZE_BYTES = 4 * GIB;

export interface ClusterOptions {
  readonly dataDir: string;
  /** How many nodes there are at least; default those of the last time, else 3. */
  readonly nodes?: number;
  /** Size of the disk of each new node. */
  readonly diskSizeBytes?: number;
  /** Plugins beside Lariat's own: package names or absolute paths. */
  readonly plugins?: readonly string[];
  /** Each plugin in a process of its own. */
  readonly split?: boolean;
  readonly target?: TargetKind;
  readonly spdkBin?: string;
  readonly natsServer?: string;
  /** Where NATS and the targets listen, for nodes on other machines; default 127.0.0.1. */
  readonly address?: string;
  /** Environment of every child; default this process's. */
  readonly env?: NodeJS.ProcessEnv;
  readonly said?: (line: string) => void;
  /** Tests put other processes in the place of Lariat's. */
  readonly plan?: LaunchPlan;
  readonly timing?: ProcessTiming;
}

/** A cluster that this process supervises. */
export interface Cluster {
  readonly natsUrl: string;
  readonly paths: ClusterPaths;
  file(): ClusterFile;
  processes(): readonly ProcessRecord[];
  addNode(name: string, diskSizeBytes?: number): Promise<ProcessRecord>;
  startNode(name: string): Promise<ProcessRecord>;
  /** Lets in the agent of a node that something else starts; its credentials are in the folder of them. */
  admitNode(name: string): Promise<void>;
  stopNode(name: string): Promise<void>;
  removeNode(name: string): Promise<void>;
  /** SIGKILL to agent, target and frontends; the node stays down. Answers the pids. */
  killNode(name: string): Promise<readonly number[]>;
  /** SIGKILL to one process (`services`, `n1`, `n1/target`, `nats`), which is started again. */
  kill(name: string, signal?: NodeJS.Signals): Promise<number>;
  stop(): Promise<void>;
}

/** The nodes of the last time, and as many new ones as are missing: n1, n2, … */
export function planNodes(
  config: ClusterConfig | undefined,
  wanted: number | undefined,
  diskSizeBytes: number,
): readonly NodeConfig[] {
  const nodes = [...(config?.nodes ?? [])];
  const count = wanted ?? (nodes.length === 0 ? DEFAULT_NODES : nodes.length);
  for (let number = 1; nodes.length < count; number += 1) {
    const name = `n${number}`;
    if (!nodes.some((node) => node.name === name)) nodes.push({ name, diskSizeBytes });
  }
  return nodes;
}

/** Starts a cluster under this process; resolves when every part of it serves. A failed start leaves nothing. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const paths = clusterPaths(options.dataDir);
  const said = options.said ?? (() => undefined);
  const plan = options.plan ?? planFor(options, paths);
  mkdirSync(paths.logs, { recursive: true });
  const unlock = lockDataDir(paths.lockFile);
  let control: { close(): Promise<void> } | undefined;
  let supervisor: Supervisor | undefined;
  const stop = async (): Promise<void> => {
    await control?.close();
    await supervisor?.stop();
    rmSync(paths.clusterFile, { force: true });
    unlock();
  };
  try {
    const left = await stopRemains(paths);
    if (left.length > 0) {
      said(`the last supervisor had been killed: stopped what it left (${left.join(', ')})`);
    }
    const config = readClusterConfig(paths.configFile);
    const nodes = planNodes(
      config,
      options.nodes,
      options.diskSizeBytes ?? DEFAULT_DISK_SIZE_BYTES,
    );
    const timing = options.timing === undefined ? {} : { timing: options.timing };
    const running = new Supervisor({ paths, plan, said, ...timing });
    supervisor = running;
    control = await serveControl(running, paths.controlSocket);
    const natsUrl = await running.start(nodes);
    return toCluster(natsUrl, paths, running, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

function planFor(options: ClusterOptions, paths: ClusterPaths): LaunchPlan {
  const target = options.target ?? 'soft';
  if (target === 'spdk' && options.spdkBin === undefined) {
    throw new LariatError({
      kind: 'invalid',
      code: 'REQUEST_INVALID',
      message: '--target spdk needs --spdk-bin PATH, the path of spdk_tgt.',
    });
  }
  const env = options.env ?? process.env;
  return defaultLaunchPlan({
    paths,
    natsServer: options.natsServer ?? findNatsServer(env),
    plugins: options.plugins ?? [],
    split: options.split ?? false,
    target,
    spdkBin: options.spdkBin,
    ...(options.address === undefined ? {} : { address: options.address }),
    env,
  });
}

function toCluster(
  natsUrl: string,
  paths: ClusterPaths,
  supervisor: Supervisor,
  stop: () => Promise<void>,
): Cluster {
  let stopping: Promise<void> | undefined;
  return {
    natsUrl,
    paths,
    file: () => supervisor.file(),
    processes: () => supervisor.list(),
    addNode: (name, diskSizeBytes) => supervisor.addNode(name, diskSizeBytes),
    startNode: (name) => supervisor.startNode(name),
    admitNode: (name) => supervisor.admitNode(name),
    stopNode: (name) => supervisor.stopNode(name),
    removeNode: (name) => supervisor.removeNode(name),
    killNode: (name) => supervisor.killNode(name),
    kill: (name, signal) => supervisor.kill(name, signal),
    stop: () => (stopping ??= stop()),
  };
}
