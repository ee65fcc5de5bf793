import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { bundleOf, notBuilt } from '@lariat/kernel';

/** The checkout that this code runs from: four folders above both src/cluster and dist/cluster. */
export const CHECKOUT = resolve(import.meta.dirname, '..', '..', '..', '..');

/** The file to run a program of this checkout from; `entry` is where its main module is. */
export function programFile(...entry: readonly string[]): string {
  const file = bundleOf(join(CHECKOUT, ...entry));
  if (existsSync(file)) return file;
  throw notBuilt(file);
}

/** Outside of the library that it is of: it has Lariat's own plugins in it. */
export const pluginHostFile = (): string => programFile('tools', 'dist', 'plugin-host.js');

/** Where `lariat up` keeps a cluster when it is not told. */
export function defaultDataDir(env: NodeJS.ProcessEnv = process.env): string {
  const named = env['LARIAT_DATA'];
  return named === undefined || named === ''
    ? join(CHECKOUT, '.lariat', 'cluster')
    : resolve(named);
}

/** Everything of one cluster lies in its data folder, so that two clusters have nothing in common. */
export interface ClusterPaths {
  readonly dataDir: string;
  /** What runs now; removed by a clean stop. */
  readonly clusterFile: string;
  /** What the cluster consists of; stays. */
  readonly configFile: string;
  readonly lockFile: string;
  readonly controlSocket: string;
  readonly logs: string;
  readonly nats: string;
  /** With which each part proves to NATS who it is. */
  readonly credentials: string;
  readonly nodes: string;
  node(name: string): string;
  agentFile(name: string): string;
  log(process: string): string;
}

export function clusterPaths(dir: string): ClusterPaths {
  const dataDir = resolve(dir);
  const nodes = join(dataDir, 'nodes');
  const logs = join(dataDir, 'logs');
  return {
    dataDir,
    clusterFile: join(dataDir, 'cluster.json'),
    configFile: join(dataDir, 'config.json'),
    lockFile: join(dataDir, 'supervisor.lock'),
    controlSocket: controlSocket(dataDir),
    logs,
    nats: join(dataDir, 'nats'),
    credentials: join(dataDir, 'credentials'),
    nodes,
    node: (name) => join(nodes, name),
    agentFile: (name) => join(nodes, name, 'agent.json'),
    log: (process) => join(logs, `${process}.log`),
  };
}

/** sockaddr_un holds 108 bytes with the final NUL (unix(7)). */
const SOCKET_PATH_MAX_BYTES = 107;

function controlSocket(dataDir: string): string {
  const path = join(dataDir, 'supervisor.sock');
  if (Buffer.byteLength(path) <= SOCKET_PATH_MAX_BYTES) return path;
  // Linux's abstract names need no file and vanish with their owner.
  return `\0lariat-${createHash('sha256').update(dataDir).digest('hex').slice(0, 32)}`;
}
