import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createInterface } from 'node:readline';
import {
  nodeRequestSubject,
  type CommandMap,
  type CommandName,
  type EngineReportRequest,
  type NodeRegistration,
  type OpenCommandsRequest,
} from '@lariat/contracts';
import { CommandClient, connectNats, ensureStreams, makeCommandConsumer } from '@lariat/messaging';
import { bundleOf } from '@lariat/kernel';
import type { NatsConnection } from '@nats-io/nats-core';
import { trace } from '@opentelemetry/api';

const AGENT_MAIN = bundleOf(fileURLToPath(new URL('../dist/main.js', import.meta.url)));

/** $LARIAT_NATS_SERVER, else PATH. */
export const natsServer = [
  process.env['LARIAT_NATS_SERVER'] ?? '',
  ...(process.env['PATH'] ?? '').split(delimiter).map((dir) => join(dir, 'nats-server')),
].find((path) => path !== '' && existsSync(path));

export function hasProgram(name: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((dir) => existsSync(join(dir, name)));
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Waits for a condition, and says what for when it does not come. */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs = 10_000,
): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() > deadline)
      throw new Error(`waited ${deadlineMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export interface AgentStatus {
  readonly agentPid: number;
  readonly targetPid: number;
  readonly frontends: readonly { readonly volume: string; readonly pid: number }[];
}

export class AgentProcess {
  stderr = '';
  private constructor(
    readonly node: string,
    readonly dataDir: string,
    readonly child: ChildProcess,
  ) {}

  static async start(
    node: string,
    dataDir: string,
    natsUrl: string,
    extra: readonly string[] = ['--disk', 'd1=1GiB', '--frontends', 'nvmf,nbd'],
  ): Promise<AgentProcess> {
    const args = [AGENT_MAIN, '--node', node, '--nats', natsUrl, '--data', dataDir, ...extra];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const agent = new AgentProcess(node, dataDir, child);
    child.stderr?.on('data', (chunk: Buffer) => (agent.stderr += chunk.toString()));
    const lines = createInterface({ input: child.stdout ?? process.stdin });
    await new Promise<void>((resolve, reject) => {
      lines.once('line', () => resolve());
      child.once('exit', (code) => reject(new Error(`agent ended with ${code}: ${agent.stderr}`)));
    });
    return agent;
  }

  status(): AgentStatus {
    return JSON.parse(readFileSync(join(this.dataDir, 'agent.json'), 'utf8')) as AgentStatus;
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill(signal);
    await ended;
  }
}

/** A nats-server, agents, and the test itself in the place of the services. */
export class Cluster {
  readonly reports: EngineReportRequest[] = [];
  readonly registrations = new Map<string, NodeRegistration>();
  readonly agents = new Map<string, AgentProcess>();
  private counter = 0;

  private constructor(
    readonly root: string,
    readonly natsUrl: string,
    private readonly nats: ChildProcess,
    readonly connection: NatsConnection,
    private readonly commands: CommandClient,
  ) {}

  static async start(nodes: readonly string[]): Promise<Cluster> {
    const root = mkdtempSync(join(tmpdir(), 'lariat-agent-'));
    const port = await freePort();
    const natsUrl = `nats://127.0.0.1:${port}`;
    const nats = spawn(
      natsServer ?? '',
      ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', join(root, 'nats')],
      { stdio: 'ignore' },
    );
    const connection = await connectNats({ servers: natsUrl, name: 'itest' });
    await ensureStreams(connection);
    const commands = new CommandClient(connection, 'inst-itest', trace.getTracer('itest'));
    const cluster = new Cluster(root, natsUrl, nats, connection, commands);
    cluster.answerServices();
    await Promise.all(nodes.map((node) => cluster.startAgent(node)));
    return cluster;
  }

  async startAgent(node: string, extra?: readonly string[]): Promise<AgentProcess> {
    const agent = await AgentProcess.start(node, join(this.root, node), this.natsUrl, extra);
    this.agents.set(node, agent);
    return agent;
  }

  agent(node: string): AgentProcess {
    const agent = this.agents.get(node);
    if (agent === undefined) throw new Error(`no agent ${node}`);
    return agent;
  }

  send<Name extends CommandName>(
    node: string,
    command: Name,
    input: CommandMap[Name]['input'],
    options: { id?: string; operation?: string; fence?: number; timeoutMs?: number } = {},
  ): Promise<CommandMap[Name]['output']> {
    this.counter += 1;
    return this.commands.send(node, {
      id: options.id ?? `op-itest/${this.counter}/${node}`,
      command,
      operation: options.operation ?? `op-itest-${this.counter}`,
      step: command,
      fence: options.fence ?? 1,
      deadlineAtMs: Date.now() + (options.timeoutMs ?? 20_000),
      input,
    });
  }

  async disk(node: string): Promise<string> {
    const registration = await until(`the registration of ${node}`, () =>
      this.registrations.get(node),
    );
    return registration.disks[0]?.id ?? '';
  }

  async stop(): Promise<void> {
    for (const agent of this.agents.values()) await agent.signal('SIGTERM');
    await this.connection.close();
    this.nats.kill('SIGKILL');
    rmSync(this.root, { recursive: true, force: true });
  }

  private answerServices(): void {
    const answer = <T>(name: string, take: (body: T) => unknown): void => {
      this.connection.subscribe(nodeRequestSubject(name, '*'), {
        callback: (error, message) => {
          if (error === null)
            void Promise.resolve(take(message.json<T>())).then((data) =>
              message.respond(JSON.stringify({ data })),
            );
        },
      });
    };
    answer<OpenCommandsRequest>('internal.node.open-commands', async ({ node }) => {
      await makeCommandConsumer(this.connection, node);
      return {};
    });
    answer<NodeRegistration>('internal.node.register', (body) => {
      this.registrations.set(body.name, body);
      return {};
    });
    answer<EngineReportRequest>('internal.volume.report-engine', (body) => {
      this.reports.push(body);
      return { inSync: body.operational };
    });
  }
}
