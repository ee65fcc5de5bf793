import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Cluster,
  DEFAULT_TIMING,
  findLeftovers,
  startCluster,
  waitForNodes,
} from '@lariat/cli';
import { MIB, delay, isRetryable, newUuid, toLariatError } from '@lariat/kernel';
import { type OperationView, type RequestMap, type RequestName, isEnded } from '@lariat/contracts';
import { LariatClient, connectNats, readEvents } from '@lariat/messaging';
import { FAULT_SUBJECT_PREFIX, type Fault } from '@lariat/testing';
import type { NatsConnection } from '@nats-io/nats-core';
import { assertNothingRefused, refusalsIn } from '../e2e/bus-refusals.js';
import { RecordedFolder } from '../left-over/record.js';

const DISK_SIZE_BYTES = 1024 * MIB;
const OPERATION_DEADLINE_MS = 60_000;
const ANSWER_MS = 3_000;
const POLL_MS = 50;
/** A replica that was left on a node waits for the next inventory and then for its grace. */
const SETTLE_MS = 30_000;

const { backoff } = DEFAULT_TIMING;
/**
 * The same process is killed every few seconds here. To its supervisor that is one that keeps dying: the pause before its
 * start grows until, with the start itself, its node is declared down, which is not what these tests are about.
 */
const TIMING = { ...DEFAULT_TIMING, backoff: { ...backoff, maxMs: backoff.initialMs } };

/** A cluster whose processes can be armed to die at named points. */
export class ChaosCluster {
  private constructor(
    private readonly folder: RecordedFolder,
    readonly cluster: Cluster,
    readonly connection: NatsConnection,
    readonly client: LariatClient,
  ) {}

  /** `rebuild`: whether lost replicas are made anew unasked; default manual, so that each test says what happens. */
  static async start(
    nodes: number,
    { rebuild = 'manual' }: { readonly rebuild?: 'auto' | 'manual' } = {},
  ): Promise<ChaosCluster> {
    const folder = RecordedFolder.make('lariat-chaos-');
    const cluster = await startCluster({
      dataDir: folder.path,
      nodes,
      diskSizeBytes: DISK_SIZE_BYTES,
      split: true,
      timing: TIMING,
      env: {
        ...process.env,
        ...{ LARIAT_FAULTS: '1', LARIAT_REBUILD: rebuild },
        ...{
          LARIAT_IMAGE_SCRATCH: join(folder.path, 'image-scratch'),
          LARIAT_IMAGE_FOLDERS: tmpdir(),
        },
      },
    });
    const connection = await connectNats({
      ...{ servers: cluster.natsUrl, name: 'chaos' },
      ...{ role: { kind: 'admin' }, access: { credentials: cluster.paths.credentials } },
    });
    return new ChaosCluster(
      folder,
      cluster,
      connection,
      new LariatClient({ connection, actor: 'chaos' }),
    );
  }

  /** Resolves when every node takes volumes: what died before is back. */
  async whole(): Promise<void> {
    const agents = this.cluster.processes().filter(({ kind }) => kind === 'agent');
    await waitForNodes(
      this.cluster.natsUrl,
      this.cluster.paths.credentials,
      agents.map(({ name }) => name),
      30_000,
    );
  }

  /** The nodes whose events say that they were. */
  async declaredDownSince(at: string): Promise<ReadonlySet<string>> {
    const nodes = new Set<string>();
    for await (const event of readEvents(this.connection, { filter: 'node.>', follow: false }))
      if (event.type === 'down' && event.at >= at) nodes.add(event.objectId);
    return nodes;
  }

  async stop(): Promise<void> {
    await this.connection.close();
    await this.cluster.stop();
    const refusals = refusalsIn(this.cluster.paths);
    this.folder.remove();
    assertNothingRefused(refusals);
  }

  /** The names of all fault points that the process has reached since it started. */
  async reached(process: string): Promise<readonly string[]> {
    return (await this.ask(process, 'reached', {})) as readonly string[];
  }

  /** The process that runs under the name now. */
  pidOf(name: string): number {
    const pid = this.cluster.processes().find((process) => process.name === name)?.pid;
    if (pid === undefined || pid === null) throw new Error(`no process '${name}' runs`);
    return pid;
  }

  /** Arms a fault; answers the pid of the process that will die of it. */
  async arm(process: string, fault: Fault): Promise<number> {
    const { pid } = (await this.ask(process, 'arm', fault)) as { pid: number };
    return pid;
  }

  private async ask(process: string, verb: string, body: object): Promise<unknown> {
    const subject = `${FAULT_SUBJECT_PREFIX}.${process}.${verb}`;
    return eventually(`${process} to answer ${verb}`, 20_000, async () => {
      const answer = await this.connection.request(subject, JSON.stringify(body), {
        timeout: 1_000,
      });
      return { value: answer.json<unknown>() };
    });
  }

  /**
   * Sees a request through whatever dies on the way: asked again under one key until its operation has ended; an
   * operation that was undone is begun anew. Answers how it ended each time, the last one in success.
   */
  async perform<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
  ): Promise<readonly OperationView[]> {
    const ended: OperationView[] = [];
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const operation = await this.performOnce(name, body);
      ended.push(operation);
      if (operation.state === 'succeeded') return ended;
      if (operation.state === 'stuck') break;
    }
    throw new Error(`${name} did not succeed: ${JSON.stringify(ended, undefined, 1)}`);
  }

  private async performOnce<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
  ): Promise<OperationView> {
    const requestId = newUuid();
    const request = Object.assign({}, body, { wait: false });
    const { operation } = (await this.retrying(`${name} to be accepted`, () =>
      this.client.requestRaw(name, request, { requestId, timeoutMs: ANSWER_MS }),
    )) as { operation: OperationView };
    return eventually(`${name} (${operation.id}) to end`, OPERATION_DEADLINE_MS, async () => {
      const now = await this.client.request(
        'operation.get',
        { operation: operation.id },
        { timeoutMs: ANSWER_MS },
      );
      return isEnded(now.state) ? { value: now } : undefined;
    });
  }

  /**
   * Asks once, and waits until the operation has ended in whatever way; says why, if that was not success. A request that
   * is refused or not answered is left at that: what became of it is seen by whoever looks next.
   */
  async settle<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
    timeoutMs: number,
    said: (line: string) => void,
  ): Promise<void> {
    const request = Object.assign({}, body, { wait: false });
    let id: string;
    try {
      const answer = (await this.client.requestRaw(name, request, { timeoutMs: ANSWER_MS })) as {
        operation?: { id: string } | null;
      };
      if (answer.operation?.id === undefined) return;
      id = answer.operation.id;
    } catch (error) {
      said(`${name}: ${toLariatError(error).message}`);
      return;
    }
    const ended = await eventually(`${name} (${id}) to end`, timeoutMs, async () => {
      const now = await this.client.request(
        'operation.get',
        { operation: id },
        { timeoutMs: ANSWER_MS },
      );
      return isEnded(now.state) ? { value: now } : undefined;
    });
    if (ended.state === 'stuck') throw new Error(`${name} is stuck: ${JSON.stringify(ended)}`);
    if (ended.state === 'failed') said(`${name} was undone: ${ended.error?.message ?? '?'}`);
  }

  /** Asks until there is an answer; an answer that is an error for good is thrown. */
  retrying<T>(what: string, ask: () => Promise<T>): Promise<T> {
    return eventually(what, OPERATION_DEADLINE_MS, async () => ({ value: await ask() }));
  }

  leftovers(): Promise<readonly string[]> {
    const nodes = this.cluster
      .processes()
      .filter(({ kind, state }) => kind === 'agent' && state !== 'stopped')
      .map(({ name }) => name);
    const { client, connection } = this;
    const session = {
      connection,
      request: <Name extends RequestName>(
        name: Name,
        body: RequestMap[Name]['request'],
        timeoutMs = ANSWER_MS,
      ) => this.retrying(name, () => client.request(name, body, { timeoutMs })),
    };
    return findLeftovers(session, this.cluster.paths, nodes, SETTLE_MS);
  }
}

/** Polls until `look` gives a value. What it throws is retried when it may pass, and thrown when it is final. */
export async function eventually<T>(
  what: string,
  timeoutMs: number,
  look: () => Promise<{ readonly value: T } | undefined>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      const found = await look();
      if (found !== undefined) return found.value;
    } catch (error) {
      const { kind, code } = toLariatError(error);
      // NATS clients throw their own classes for a silent process: those pass.
      if (!isRetryable(kind) && code !== 'INTERNAL') throw error;
      last = error;
    }
    await delay(POLL_MS);
  }
  throw new Error(`waited ${timeoutMs} ms for ${what}`, { cause: last });
}
