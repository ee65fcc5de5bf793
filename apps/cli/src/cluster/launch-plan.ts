import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { admitNodes, busUsers, dismissNode } from './bus-users.js';
import type { TargetKind } from './cluster-file.js';
import {
  NATS_RELOADED,
  natsConfigPath,
  portOf,
  removePortsFiles,
  waitForNatsUrl,
  writeNatsConfig,
} from './nats-launch.js';
import { type ClusterPaths, pluginHostFile, programFile } from './paths.js';
import { waitForReadyLine } from './ready.js';
import type { ProcessSpec } from './supervised-process.js';

/** Lariat's own plugins; the embedded mode runs them in one process. */
export const BUILT_IN_PLUGINS = [
  '@lariat/volume-svc',
  '@lariat/replica-svc',
  '@lariat/backing-image-svc',
] as const;

export interface NodeConfig {
  readonly name: string;
  readonly diskSizeBytes: number;
}

/** Which processes a cluster has and how each is run. A test may replace them. */
export interface LaunchPlan {
  /** `port` -1: any free one. `serving` learns the URL. */
  nats(port: () => number, serving: (url: string) => void): ProcessSpec;
  plugins(natsUrl: string): readonly ProcessSpec[];
  agent(natsUrl: string, node: NodeConfig): ProcessSpec;
  /** NATS knows these nodes from its next start, or reload. */
  admit?(nodes: readonly string[]): void;
  /** And this one no more. */
  dismiss?(node: string): void;
}

export interface LaunchOptions {
  readonly paths: ClusterPaths;
  readonly natsServer: string;
  readonly plugins: readonly string[];
  readonly split: boolean;
  readonly target: TargetKind;
  readonly spdkBin: string | undefined;
  /** Where NATS and the targets listen; default 127.0.0.1. */
  readonly address?: string;
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Heap limits: V8 grows its heap for as long as it may before it collects, and a laptop should not pay for
 * that. Young generation: larger where throughput counts.
 */
const PLUGIN_HEAP = ['--max-old-space-size=256', '--max-semi-space-size=8'];
const AGENT_HEAP = ['--max-old-space-size=128', '--max-semi-space-size=2'];
/** nats-server's own garbage collector aims to stay below it. */
const NATS_MEMORY_LIMIT = '128MiB';

const NATS_GRACE_MS = 5_000;
const PLUGIN_GRACE_MS = 8_000;
/** An agent stops its frontends and its target first. */
const AGENT_GRACE_MS = 10_000;

/** A path becomes absolute, as the child's own folder is another; a package name stays. */
export function resolvePlugin(reference: string, cwd: string = process.cwd()): string {
  const path = resolve(cwd, reference);
  return reference.startsWith('.') || existsSync(path) ? path : reference;
}

const pluginName = (reference: string): string =>
  `plugin-${basename(reference).replaceAll(/[^A-Za-z0-9_-]/g, '-')}`;

/** Each with a name of its own: the second copy of a plugin is its `-2`. */
function processNames(references: readonly string[]): readonly (readonly [string, string])[] {
  const taken = new Set<string>();
  return references.map((reference) => {
    const isBuiltIn = (BUILT_IN_PLUGINS as readonly string[]).includes(reference);
    const base = isBuiltIn ? basename(reference) : pluginName(reference);
    let name = base;
    for (let copy = 2; taken.has(name); copy += 1) name = `${base}-${copy}`;
    taken.add(name);
    return [name, reference];
  });
}

export function defaultLaunchPlan(options: LaunchOptions): LaunchPlan {
  const { paths, address = '127.0.0.1' } = options;
  // What this shell has for another cluster is nothing for this one.
  const env: NodeJS.ProcessEnv = {
    ...options.env,
    LARIAT_NATS_CREDENTIALS: paths.credentials,
    ...{ LARIAT_NATS_TLS_CA: '', LARIAT_NATS_TLS_CERT: '', LARIAT_NATS_TLS_KEY: '' },
  };
  const writeConfig = (port: number): void =>
    writeNatsConfig({
      ...{ folder: paths.nats, address, port },
      users: busUsers(paths.credentials),
      faults: env['LARIAT_FAULTS'] === '1',
    });
  const nodeSpec = (
    base: Pick<ProcessSpec, 'name' | 'kind' | 'stopGraceMs'>,
    args: readonly string[],
  ): ProcessSpec => {
    const logPath = paths.log(base.name);
    return {
      ...base,
      command: process.execPath,
      args,
      env,
      logPath,
      ready: async ({ logOffset, signal }) => {
        await waitForReadyLine(logPath, logOffset, signal);
      },
    };
  };
  const pluginHost = (name: string, natsUrl: string, references: readonly string[]): ProcessSpec =>
    nodeSpec({ name, kind: 'plugin', stopGraceMs: PLUGIN_GRACE_MS }, [
      ...PLUGIN_HEAP,
      pluginHostFile(),
      '--nats',
      natsUrl,
      ...references.flatMap((reference) => ['--plugin', reference]),
    ]);

  return {
    nats: (port, serving) => ({
      name: 'nats',
      kind: 'nats',
      command: options.natsServer,
      args: ['--config', natsConfigPath(paths.nats)],
      env: { ...env, GOMEMLIMIT: NATS_MEMORY_LIMIT },
      logPath: paths.log('nats'),
      stopGraceMs: NATS_GRACE_MS,
      prepare: () => {
        removePortsFiles(paths.nats);
        writeConfig(port());
      },
      reload: { write: () => writeConfig(port()), done: NATS_RELOADED },
      ready: async ({ pid, signal }) => {
        const url = await waitForNatsUrl(paths.nats, pid, signal);
        if (url !== undefined) serving(url);
      },
    }),
    admit: (nodes) => admitNodes(paths.credentials, nodes),
    dismiss: (node) => dismissNode(paths.credentials, node),
    plugins: (natsUrl) => {
      const references = [...BUILT_IN_PLUGINS, ...options.plugins];
      if (!options.split) return [pluginHost('services', natsUrl, references)];
      return processNames(references).map(([name, reference]) =>
        pluginHost(name, natsUrl, [reference]),
      );
    },
    agent: (natsUrl, node) =>
      nodeSpec({ name: node.name, kind: 'agent', stopGraceMs: AGENT_GRACE_MS }, [
        ...AGENT_HEAP,
        programFile('apps', 'node-agent', 'dist', 'main.js'),
        ...['--node', node.name, '--nats', natsUrl, '--data', paths.node(node.name)],
        // Apart: another node of this machine may have attached the same volume a moment ago.
        ...['--device-dir', join(paths.node(node.name), 'dev')],
        ...['--traddr', address, '--trsvcid', '0', '--disk', `d1=${node.diskSizeBytes}`],
        ...(options.target === 'spdk' ? ['--target', 'spdk'] : []),
        ...(options.spdkBin === undefined ? [] : ['--spdk-bin', options.spdkBin]),
      ]),
  };
}

/** After its first start the server keeps its port: the others hold its URL. */
export function stickyPort(): {
  readonly port: () => number;
  readonly keep: (url: string) => void;
} {
  let port = -1;
  return {
    port: () => port,
    keep: (url) => {
      port = portOf(url);
    },
  };
}
