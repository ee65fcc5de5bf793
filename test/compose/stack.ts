import { join } from 'node:path';
import { CHECKOUT, clusterPaths, findLeftovers, NbdClient } from '@lariat/cli';
import {
  isEnded,
  type OperationView,
  type RequestMap,
  type RequestName,
  type VolumeView,
} from '@lariat/contracts';
import { delay, newUuid } from '@lariat/kernel';
import { connectNats, LariatClient } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';
import { eventually } from '../chaos/chaos-cluster.js';
import { run } from '../debian/programs.js';
import type { EngineAccess } from './engine-access.js';
import { LocalPort } from './engine/nats-relay.js';
import { NetworkHost } from './network-host.js';

export const NODES = ['node-1', 'node-2', 'node-3'] as const;
export const SERVICES = ['volume-svc', 'replica-svc', 'backing-image-svc'] as const;
/** What is cut off, restarted or built anew takes this long at most, on a machine that does much else. */
export const HEALED_MS = 180_000;
const COMPOSE_FOLDER = join(CHECKOUT, 'deploy', 'compose');
const COMMAND_TIMEOUT_MS = 600_000;
const ANSWER_MS = 10_000;
const LOOK_EVERY_MS = 250;
/** As docker-compose names it by the folder. */
export const PROJECT = 'compose';

/** Of what deploy/compose offers, what is used. */
export interface Setting {
  /** deploy/compose, or a copy of it with files that belong to no checkout. */
  readonly folder: string;
  /** What `docker-compose` is told before its command. */
  readonly options: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  /** A folder of them, where NATS asks for some. */
  readonly credentials?: string;
}

/** One NATS server that lets in whoever comes, nothing else beside it. */
export const PLAIN: Setting = { folder: COMPOSE_FOLDER, options: [], variables: {} };

/** `docker-compose` as the README of deploy/compose says, on the engine. */
export async function compose(
  { environment }: Pick<EngineAccess, 'environment'>,
  { folder, options, variables }: Setting,
  ...args: readonly string[]
): Promise<string> {
  const words = ['--env-file', 'small.env', ...options, ...args];
  const { stdout } = await run('docker-compose', words, {
    ...{ cwd: folder, env: { ...environment, ...variables }, timeout: COMMAND_TIMEOUT_MS },
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}

/** The containers of deploy/compose, and a client of the cluster that they are. */
export class Stack {
  private constructor(
    private readonly access: EngineAccess,
    private readonly setting: Setting,
    private readonly port: LocalPort,
    readonly connection: NatsConnection,
    readonly client: LariatClient,
  ) {}

  static async open(access: EngineAccess, setting = PLAIN): Promise<Stack> {
    const { credentials } = setting;
    const port = await LocalPort.open(access.natsSocket);
    const connection = await connectNats({
      ...{ servers: `nats://127.0.0.1:${port.port}`, name: 'compose' },
      ...{ role: { kind: 'admin' }, ...(credentials !== undefined && { access: { credentials } }) },
    });
    const client = new LariatClient({ connection, actor: 'compose' });
    return new Stack(access, setting, port, connection, client);
  }

  async close(): Promise<void> {
    await this.connection.close();
    await this.port.close();
  }

  compose(...args: readonly string[]): Promise<string> {
    return compose(this.access, this.setting, ...args);
  }

  async docker(...args: readonly string[]): Promise<string> {
    const { environment: env } = this.access;
    const { stdout } = await run('docker', args, { env, timeout: COMMAND_TIMEOUT_MS });
    return stdout.trim();
  }

  container(service: string, index = 1): string {
    return `${PROJECT}_${service}_${index}`;
  }

  readonly network = `${PROJECT}_lariat`;

  /** As a crash: the engine has not been asked, and starts it again by its restart policy. */
  async crash(container: string): Promise<void> {
    const [pid = '', started = ''] = (
      await this.inspect(container, '{{.State.Pid}} {{.State.StartedAt}}')
    ).split(' ');
    const namespaces = ['--target', String(this.access.pid), '--pid', '--mount'];
    await run('nsenter', [...namespaces, 'kill', '-KILL', pid], { env: this.access.environment });
    await this.eventually(`${container} to be started again`, async () => {
      const [state, since] = (
        await this.inspect(container, '{{.State.Status}} {{.State.StartedAt}}')
      ).split(' ');
      return state === 'running' && since !== started ? true : undefined;
    });
  }

  inspect(container: string, format: string): Promise<string> {
    return this.docker('inspect', '--format', format, container);
  }

  /** All containers have been found healthy since they started, and nodes that are named take volumes. */
  async ready(nodes: readonly string[] = NODES): Promise<void> {
    await this.eventually('all containers to be healthy', async () => {
      const ids = await this.docker('ps', '--quiet', '--filter', `network=${this.network}`);
      const format = ['--format', '{{json .State}}'] as const;
      const states = await this.docker('inspect', ...format, ...ids.split('\n'));
      return states.split('\n').every(wasHealthy) ? true : undefined;
    });
    for (const node of nodes) await this.nodeIs(node, 'ready');
  }

  /** Resolves when it is; a node that nobody has heard of yet may still come. */
  async nodeIs(node: string, state: string): Promise<void> {
    await this.eventually(`${node} to be ${state}`, async () => {
      const { nodes } = await this.request('node.list', {});
      return nodes.find(({ name }) => name === node)?.state === state ? true : undefined;
    });
  }

  request<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
    timeoutMs = ANSWER_MS,
  ): Promise<RequestMap[Name]['reply']> {
    return this.client.request(name, body, { timeoutMs });
  }

  /** Asks for a change and does not wait for it: the operation that it became, the same for the same request id. */
  async begin(name: RequestName, body: object, requestId: string = newUuid()): Promise<string> {
    const options = { requestId, timeoutMs: ANSWER_MS };
    const answer = await this.client.requestRaw(name, { ...body, wait: false }, options);
    return (answer as { readonly operation: OperationView }).operation.id;
  }

  /** What the operation says of itself while it waits for the node. */
  waitsFor(operation: string, node: string): Promise<OperationView> {
    return this.eventually(`${operation} to say that it waits for ${node}`, async () => {
      const view = await this.request('operation.get', { operation });
      return view.node === node && view.waitingFor !== null ? view : undefined;
    });
  }

  /** Resolves when it has; whoever looks before that is told what it waits for. */
  async succeeds(operation: string): Promise<void> {
    const unexplained: OperationView[] = [];
    const { state, error } = await this.eventually(`${operation} to end`, async () => {
      const view = await this.request('operation.get', { operation });
      if (isEnded(view.state)) return view;
      if (!isExplained(view)) unexplained.push(view);
      return undefined;
    });
    if (state !== 'succeeded') throw new Error(`${operation} is ${state}: ${error?.message}`);
    if (unexplained.length > 0) throw new Error(`unexplained: ${JSON.stringify(unexplained[0])}`);
  }

  /** Looks until there is something; what may pass is not the end of it. */
  eventually<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    return eventually(what, HEALED_MS, async () => {
      const value = await look();
      if (value !== undefined) return { value };
      await delay(LOOK_EVERY_MS);
      return undefined;
    });
  }

  volume(volume: string): Promise<VolumeView> {
    return this.request('volume.get', { volume });
  }

  /** Resolves when each replica of the volume is in sync and nothing is done to it. */
  whole(volume: string): Promise<VolumeView> {
    return this.eventually(`${volume} to be whole`, async () => {
      const view = await this.volume(volume);
      return view.robustness === 'healthy' && view.operation === null ? view : undefined;
    });
  }

  /** The NBD socket that the node's container serves is a file of its Docker volume. */
  async socketOf(volume: string): Promise<{ readonly uri: string }> {
    const { attachment } = await this.volume(volume);
    if (attachment?.endpoint == null) throw new Error(`${volume} is not attached`);
    const inside = '/var/lib/lariat';
    const uri = attachment.endpoint.replace(inside, join(this.access.folder, attachment.node));
    if (uri === attachment.endpoint) throw new Error(`${uri} is not below ${inside}`);
    return { uri };
  }

  async device(volume: string): Promise<NbdClient> {
    return NbdClient.connect((await this.socketOf(volume)).uri);
  }

  /** A host beside the nodes that uses a volume which is attached with the frontend `nvmf`. */
  async host(volume: string): Promise<NetworkHost> {
    const { attachment } = await this.volume(volume);
    if (attachment === null) throw new Error(`${volume} is not attached`);
    return NetworkHost.connect(this.access, volume, attachment);
  }

  leftovers(): Promise<readonly string[]> {
    const { connection } = this;
    const session = { connection, request: this.request.bind(this) };
    const paths = {
      ...clusterPaths(this.access.folder),
      node: (name: string) => join(this.access.folder, name),
    };
    return findLeftovers(session, paths, NODES, HEALED_MS);
  }
}

/** It names its step, what that waits for, and its trace; and why, when it has to be tried again. */
const isExplained = (view: OperationView): boolean =>
  view.step !== null &&
  view.waitingFor !== null &&
  /^[\da-f]{32}$/.test(view.traceId) &&
  (view.nextTryAt === null || view.lastError !== null);

interface ContainerState {
  readonly StartedAt: string;
  readonly Health: {
    readonly Log: readonly { readonly Start: string; readonly ExitCode: number }[];
  };
}

/** A check that comes too late on a busy machine makes a container unhealthy, but does not unsay one that was in time. */
function wasHealthy(json: string): boolean {
  const { StartedAt, Health } = JSON.parse(json) as ContainerState;
  const since = Date.parse(StartedAt);
  return Health.Log.some(({ Start, ExitCode }) => ExitCode === 0 && Date.parse(Start) >= since);
}
