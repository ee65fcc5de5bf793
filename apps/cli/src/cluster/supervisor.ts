import { isDnsLabel, LariatError } from '@lariat/kernel';
import { nodeProcessRecords, readNodeProcesses } from './agent-file.js';
import {
  type ClusterFile,
  type ProcessRecord,
  readClusterConfig,
  writeJsonFile,
} from './cluster-file.js';
import { type LaunchPlan, type NodeConfig, stickyPort } from './launch-plan.js';
import type { ClusterPaths } from './paths.js';
import { identify, signalProcess, stopProcess, waitForEnd } from './process-identity.js';
import { DEFAULT_TIMING, type ProcessTiming, SupervisedProcess } from './supervised-process.js';

export interface SupervisorOptions {
  readonly paths: ClusterPaths;
  readonly plan: LaunchPlan;
  readonly timing?: ProcessTiming;
  /** What a person should know: which child died, which had to be killed. */
  readonly said: (line: string) => void;
}

/** A target and a frontend have nothing of their own to finish once their agent is gone. */
const REMAINS_GRACE_MS = 3_000;

/** As launch plans call it. */
const NATS = 'nats';

/** Owns every process of one cluster: starts them, starts them again, and stops them in order. */
export class Supervisor {
  private readonly processes = new Map<string, SupervisedProcess>();
  private readonly port = stickyPort();
  private readonly startedAt = new Date().toISOString();
  private natsUrl: string | null = null;
  private state: ClusterFile['state'] = 'starting';
  private nodes: readonly NodeConfig[] = [];

  constructor(private readonly options: SupervisorOptions) {}

  /** Starts NATS, then everything else side by side; resolves when all of it serves. */
  async start(nodes: readonly NodeConfig[]): Promise<string> {
    this.nodes = nodes;
    this.writeConfig();
    const { plan } = this.options;
    plan.admit?.(nodes.map(({ name }) => name));
    const nats = plan.nats(this.port.port, (url) => {
      this.natsUrl = url;
      this.port.keep(url);
    });
    await this.add(nats).start();
    const natsUrl = this.url();
    const specs = [...plan.plugins(natsUrl), ...nodes.map((node) => plan.agent(natsUrl, node))];
    await Promise.all(specs.map((spec) => this.add(spec).start()));
    this.state = 'ready';
    this.write();
    return natsUrl;
  }

  file(): ClusterFile {
    return {
      version: 1,
      state: this.state,
      dataDir: this.options.paths.dataDir,
      natsUrl: this.natsUrl,
      startedAt: this.startedAt,
      supervisor: identify(process.pid),
      processes: [...this.processes.values()].map((child) => child.record()),
    };
  }

  /** The processes, with those that the agents run. */
  list(): readonly ProcessRecord[] {
    return this.file().processes.flatMap((record) =>
      record.kind === 'agent'
        ? [record, ...nodeProcessRecords(this.options.paths, record.name)]
        : [record],
    );
  }

  async addNode(name: string, diskSizeBytes?: number): Promise<ProcessRecord> {
    assertNodeName(name);
    if (this.processes.has(name)) {
      throw new LariatError({
        kind: 'conflict',
        code: 'NODE_NAME_TAKEN',
        message: `This cluster has a process '${name}' already; choose another name, or start the node again with 'lariat cluster start-node ${name}'.`,
      });
    }
    const sizeBytes = diskSizeBytes ?? this.nodes[0]?.diskSizeBytes;
    if (sizeBytes === undefined) {
      throw new LariatError({
        kind: 'invalid',
        code: 'SIZE_INVALID',
        message: 'There is no other node to take the disk size from: give --disk-size.',
      });
    }
    const node: NodeConfig = { name, diskSizeBytes: sizeBytes };
    this.nodes = [...this.nodes, node];
    this.writeConfig();
    await this.admitNode(name);
    const child = this.add(this.options.plan.agent(this.url(), node));
    await child.start();
    return child.record();
  }

  /** NATS lets the node's agent in from now on, wherever that runs. */
  async admitNode(name: string): Promise<void> {
    assertNodeName(name);
    this.options.plan.admit?.([name]);
    await this.processes.get(NATS)?.reload();
  }

  async startNode(name: string): Promise<ProcessRecord> {
    const child = this.agent(name);
    await child.start();
    return child.record();
  }

  /** Stops a node as an operator would; it is not started again until `startNode` or the next `up`. */
  async stopNode(name: string): Promise<void> {
    await this.agent(name).stop();
    await this.stopRemains(name);
  }

  /** Stops a node and forgets it: the next `up` does not start it. Its folder stays. */
  async removeNode(name: string): Promise<void> {
    await this.stopNode(name);
    this.processes.delete(name);
    this.nodes = this.nodes.filter((node) => node.name !== name);
    this.writeConfig();
    this.options.plan.dismiss?.(name);
    await this.processes.get(NATS)?.reload();
    this.write();
  }

  /** The machine dies: agent, target and frontends get SIGKILL at once, and are not started again. */
  async killNode(name: string): Promise<readonly number[]> {
    const child = this.agent(name);
    const parts = readNodeProcesses(this.options.paths, name);
    // The agent first: it would start its target again.
    const stopped = child.stop('SIGKILL');
    for (const part of parts) signalProcess(part, 'SIGKILL');
    await stopped;
    await Promise.all(parts.map((part) => waitForEnd(part, REMAINS_GRACE_MS)));
    this.options.said(`${name} was killed on request`);
    return parts.map(({ pid }) => pid);
  }

  /** One process dies; its supervisor, or its agent, starts it again. */
  async kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<number> {
    const record = this.list().find((candidate) => candidate.name === name);
    const identity =
      record === undefined || record.pid === null
        ? undefined
        : { pid: record.pid, startTime: record.startTime };
    // One that has ended just now is on the list until its end is heard of.
    if (identity === undefined || !signalProcess(identity, signal)) {
      throw new LariatError({
        kind: 'not_found',
        code: 'PROCESS_NOT_FOUND',
        message: `No process '${name}' runs. There are: ${this.list()
          .map((candidate) => candidate.name)
          .join(', ')}.`,
      });
    }
    if (signal === 'SIGKILL') await waitForEnd(identity, REMAINS_GRACE_MS);
    return identity.pid;
  }

  /** Agents first, so that frontends and targets close in order; then the plugins; NATS last. */
  async stop(): Promise<void> {
    this.state = 'stopping';
    this.write();
    const ofKind = (kind: ProcessRecord['kind']): readonly SupervisedProcess[] =>
      [...this.processes.values()].filter((child) => child.spec.kind === kind);
    await Promise.all(
      ofKind('agent').map(async (child) => {
        await child.stop();
        await this.stopRemains(child.spec.name);
      }),
    );
    await Promise.all(ofKind('plugin').map((child) => child.stop()));
    await Promise.all(ofKind('nats').map((child) => child.stop()));
  }

  /** An agent that was killed leaves its target and frontends behind. */
  private async stopRemains(node: string): Promise<void> {
    const remains = readNodeProcesses(this.options.paths, node);
    await Promise.all(remains.map((part) => stopProcess(part, REMAINS_GRACE_MS)));
  }

  private add(spec: SupervisedProcess['spec']): SupervisedProcess {
    const child = new SupervisedProcess(
      spec,
      { changed: () => this.write(), said: this.options.said },
      this.options.timing ?? DEFAULT_TIMING,
    );
    this.processes.set(spec.name, child);
    return child;
  }

  private agent(name: string): SupervisedProcess {
    const child = this.processes.get(name);
    if (child?.spec.kind !== 'agent') {
      throw new LariatError({
        kind: 'not_found',
        code: 'NODE_NOT_FOUND',
        message: `This cluster has no node '${name}'. It has: ${this.nodes.map((node) => node.name).join(', ')}.`,
      });
    }
    return child;
  }

  private url(): string {
    if (this.natsUrl !== null) return this.natsUrl;
    throw new LariatError({
      kind: 'unavailable',
      code: 'CLUSTER_NOT_RUNNING',
      message: 'NATS does not run yet; try again.',
    });
  }

  private write(): void {
    writeJsonFile(this.options.paths.clusterFile, this.file());
  }

  private writeConfig(): void {
    const { configFile } = this.options.paths;
    const before = readClusterConfig(configFile);
    writeJsonFile(configFile, { ...before, version: 1, nodes: this.nodes });
  }
}

function assertNodeName(name: string): void {
  if (isDnsLabel(name)) return;
  throw new LariatError({
    kind: 'invalid',
    code: 'NAME_INVALID',
    message: `'${name}' is not a node name: use 1 to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit.`,
  });
}
