import { readFileSync } from 'node:fs';
import { credentialsFile } from '@lariat/bus';
import { type Cluster, programFile } from '@lariat/cli';
import { until } from '../e2e/e2e-cluster.js';
import type { Guest } from './guest/guest.js';
import type { HostLink } from './guest/host-link.js';

const DATA = '/data';
const NODE_FOLDER = `${DATA}/lariat`;
const CREDENTIALS = `${DATA}/agent.nk`;
const START_TIMEOUT_MS = 600_000;
const END_TIMEOUT_MS = 300_000;
/** Each look is a process, which the node has to make room for. */
const LOOK_EVERY_MS = 1_000;
/** In seconds, for the guest's one emulated processor. */
const TARGET_START_S = 120;

export interface GuestNodeOptions {
  readonly name: string;
  readonly natsUrl: string;
  /** The agent's, as a file of the host. */
  readonly credentials: string;
  readonly link: HostLink;
  readonly diskMib: number;
  /** In the place of the built-in target, as its own spdk_tgt. */
  readonly spdkBin?: string;
  /** Tests may arm fault points in it. */
  readonly hasFaults?: boolean;
}

type Part = 'agent' | 'target';

/** A whole node of a cluster in a guest: agent and target as they are, with the kernel as its host. */
export class GuestNode {
  private starts = 0;

  private constructor(
    private readonly guest: Guest,
    private readonly options: GuestNodeOptions,
  ) {}

  /** Lets the node into the cluster, and makes room for what it keeps; it is not started yet. */
  static async join(
    { natsUrl, paths, admitNode }: Pick<Cluster, 'natsUrl' | 'paths' | 'admitNode'>,
    guest: Guest,
    options: Omit<GuestNodeOptions, 'natsUrl' | 'credentials'>,
  ): Promise<GuestNode> {
    await admitNode(options.name);
    const credentials = credentialsFile(paths.credentials, { kind: 'agent', node: options.name });
    const node = new GuestNode(guest, { ...options, natsUrl, credentials });
    await node.mountData();
    return node;
  }

  get name(): string {
    return this.options.name;
  }

  /** The guest's second disk has what the node keeps. */
  async mountData(): Promise<void> {
    const { commands } = this.guest;
    await commands.run(['/usr/bin/mkdir', '-p', DATA]);
    await commands.run(['/usr/bin/mount', '/dev/vdb', DATA]);
    await commands.write(CREDENTIALS, readFileSync(this.options.credentials, 'utf8'));
  }

  /** Answers when the agent says that it is ready. */
  async start(): Promise<void> {
    const { name, natsUrl, link, diskMib, spdkBin, hasFaults = false } = this.options;
    this.starts += 1;
    await this.guest.commands.detach(
      [
        ...(['/usr/bin/env', `LARIAT_NATS_CREDENTIALS=${CREDENTIALS}`] as const),
        `LARIAT_FAULTS=${hasFaults ? 1 : 0}`,
        ...([process.execPath, '--max-old-space-size=128', '--max-semi-space-size=2'] as const),
        programFile('apps', 'node-agent', 'dist', 'main.js'),
        ...['--node', name, '--nats', natsUrl, '--data', NODE_FOLDER],
        ...['--traddr', link.guestAddress, '--disk', `d1=${diskMib}MiB`],
        ...['--target-start', String(TARGET_START_S)],
        ...(spdkBin === undefined ? [] : ['--target', 'spdk', '--spdk-bin', spdkBin]),
      ],
      this.logPath,
    );
    const look = async (): Promise<true | undefined> => {
      const log = await this.log();
      if (log.includes('cannot start'))
        throw new Error(`the agent of ${name} does not start:\n${log.slice(-2_000)}`);
      return log.includes('"ready":true') ? true : undefined;
    };
    await until(`the agent of ${name} to be ready`, START_TIMEOUT_MS, look, LOOK_EVERY_MS);
  }

  /** SIGTERM: what is not in use goes, in order. */
  async stop(): Promise<void> {
    await this.signal('TERM', ['agent']);
    await this.ended(['agent']);
  }

  async kill(...parts: readonly Part[]): Promise<void> {
    await this.signal('KILL', parts);
  }

  /** What the agent has said since its last start. */
  async log(): Promise<string> {
    return (await this.guest.commands.exec(['/bin/cat', this.logPath])).stdout;
  }

  async pidOf(part: Part): Promise<string | undefined> {
    const of =
      part === 'agent' ? 'node-agent/dist/main.bundle.js' : 'soft-target/dist/main.bundle.js';
    const { stdout } = await this.guest.commands.exec(['/usr/bin/pgrep', '-f', of]);
    return stdout.split('\n').find((line) => line !== '');
  }

  private async signal(name: 'KILL' | 'TERM', parts: readonly Part[]): Promise<void> {
    const pids = await Promise.all(parts.map((part) => this.pidOf(part)));
    const running = pids.flatMap((pid) => (pid === undefined ? [] : [pid]));
    if (running.length < parts.length) throw new Error(`not all of ${parts.join(', ')} run`);
    await this.guest.commands.run(['/bin/kill', '-s', name, ...running]);
  }

  private async ended(parts: readonly Part[]): Promise<void> {
    for (const part of parts)
      await until(
        `the ${part} of ${this.name} to end`,
        END_TIMEOUT_MS,
        async () => ((await this.pidOf(part)) === undefined ? true : undefined),
        LOOK_EVERY_MS,
      );
  }

  private get logPath(): string {
    return `${DATA}/agent-${this.starts}.log`;
  }
}
