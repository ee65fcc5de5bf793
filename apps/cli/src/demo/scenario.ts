import { createHash, randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { RequestMap, VolumeView } from '@lariat/contracts';
import { delay, formatBytes, LariatError, MIB } from '@lariat/kernel';
import type { NatsConnection } from '@nats-io/nats-core';
import type { MutationName } from '../client/mutate.js';
import type { OpenSession, Session } from '../client/session.js';
import { readClusterFile } from '../cluster/cluster-file.js';
import { askSupervisor } from '../cluster/control.js';
import type { CommandContext } from '../context.js';
import { change } from './change.js';
import { ExpectedContent, sha256Of, sha256OfFile } from './expected-content.js';
import { ImageScenario } from './image-scenario.js';
import { findLeftovers } from './leftovers.js';
import { NbdClient } from './nbd-client.js';
import { SteadyWriter } from './steady-writer.js';
import type { Story } from './story.js';
import {
  describeReplicas,
  differs,
  failure,
  leftOver,
  mustBeEqual,
  short,
  type ScenarioResult,
} from './verdict.js';

const VOLUME = 'demo';
const SNAPSHOT = 'before';
const VOLUME_SIZE_BYTES = 256 * MIB;
const REPLICAS = 3;
/** The largest part of the file that is used: the rest of the volume stays unwritten, and must read as zero. */
const FILE_MAX_BYTES = 96 * MIB;
const OVERWRITE = { offsetBytes: 20 * MIB + 4096, lengthBytes: 6 * MIB } as const;
const WRITER_REGION = { startBytes: 128 * MIB, lengthBytes: 32 * MIB } as const;

const DEGRADED_TIMEOUT_MS = 30_000;
const HEALTHY_TIMEOUT_MS = 180_000;
const POLL_MS = 100;
/** The writer must have done some work in each situation that is shown. */
const WRITES_PER_PHASE = 20;

/** Where the parts of the story are: the volume is used on one node, and another one dies. */
export const NODES = { user: 'n1', victim: 'n3', newcomer: 'n4' } as const;

/**
 * The main job, step by step, on a cluster that runs; each step throws what goes wrong. In one file, though it is
 * long: it is read from top to bottom, as it is told.
 */
export class Scenario {
  readonly result: ScenarioResult = {
    checksums: {},
    replicasIdentical: false,
    leftovers: [],
    traceId: null,
  };
  private writer: SteadyWriter | undefined;
  private client: NbdClient | undefined;
  private expected: ExpectedContent | undefined;

  constructor(
    private readonly story: Story,
    private readonly context: CommandContext,
    private readonly open: OpenSession,
  ) {}

  async run(): Promise<void> {
    await this.createAndAttach();
    const file = await this.writeFile();
    await this.snapshotAndOverwrite();
    await this.loseANode();
    await this.rebuild();
    await this.compare();
    await this.revert(file);
    await this.deleteVolume();
    const { story, context, open, result } = this;
    await new ImageScenario(story, context, open, NODES.user, result).run();
    await this.lookForLeftovers();
    await this.showTrace();
  }

  /** Also after a failure: nothing of this process may keep it alive. */
  async close(): Promise<void> {
    // What the writer failed with was told by the step that noticed.
    await this.writer?.stop().catch(() => undefined);
    await this.client?.close();
    await this.expected?.close();
  }

  private async createAndAttach(): Promise<void> {
    const size = formatBytes(VOLUME_SIZE_BYTES);
    await this.story.step(
      'create',
      `create a volume of ${size} with ${REPLICAS} replicas`,
      () =>
        this.open.inTrace('lariat demo create', (session) => {
          this.result.traceId = session.traceId;
          return this.change(session, 'volume.create', {
            name: VOLUME,
            sizeBytes: VOLUME_SIZE_BYTES,
            replicas: REPLICAS,
          });
        }),
      ({ replicas }) => `replicas on ${replicas.map(({ node }) => node).join(', ')}`,
    );
    await this.story.step(
      'attach',
      `attach it to ${NODES.user} (NBD)`,
      () => this.attach(),
      (endpoint) => endpoint,
    );
    this.expected = await ExpectedContent.create(this.file('expected.img'), VOLUME_SIZE_BYTES);
  }

  /** Real content: the program that runs this. */
  private async writeFile(): Promise<{ readonly lengthBytes: number }> {
    const path = process.execPath;
    const lengthBytes = Math.min((await stat(path)).size, FILE_MAX_BYTES);
    const content = (await readFile(path)).subarray(0, lengthBytes);
    const sha256 = createHash('sha256').update(content).digest('hex');
    this.result.checksums.file = sha256;
    await this.story.step(
      'write',
      `write ${formatBytes(lengthBytes)} of ${path}`,
      async () => {
        await this.nbd().writeAll(0, content);
        await this.nbd().flush();
        await this.model().apply(0, content);
      },
      () => `sha256 ${short(sha256)}`,
    );
    await this.story.step(
      'read-back',
      'read the file back',
      async () => {
        const actual = await sha256Of(this.nbd().readAll(0, lengthBytes));
        this.result.checksums.fileReadBack = actual;
        mustBeEqual('the file', sha256, actual);
      },
      () => 'the same',
    );
    return { lengthBytes };
  }

  private async snapshotAndOverwrite(): Promise<void> {
    await this.story.step('snapshot', `take snapshot '${SNAPSHOT}'`, async () => {
      await this.inTrace('snapshot', (session) =>
        this.change(session, 'snapshot.create', { volume: VOLUME, snapshot: SNAPSHOT }),
      );
      await this.model().keepAs(this.file('snapshot.img'));
    });
    const { offsetBytes, lengthBytes } = OVERWRITE;
    await this.story.step('overwrite', `overwrite ${formatBytes(lengthBytes)} of it`, async () => {
      const data = randomBytes(lengthBytes);
      await this.nbd().writeAll(offsetBytes, data);
      await this.model().apply(offsetBytes, data);
    });
  }

  private async loseANode(): Promise<void> {
    this.writer = new SteadyWriter(this.nbd(), this.model(), WRITER_REGION);
    await this.someWrites();
    await this.story.step(
      'kill-node',
      `kill ${NODES.victim} (SIGKILL to agent and target) while writes go on`,
      async () => {
        const { controlSocket } = this.context.paths;
        return askSupervisor(controlSocket, { command: 'kill-node', name: NODES.victim });
      },
      (reply) => `pids ${(reply as { killed: readonly number[] }).killed.join(', ')}`,
    );
    await this.story.step(
      'degraded',
      'the volume is degraded, and writes go on',
      async () => {
        const volume = await this.waitForVolume(
          'degraded',
          DEGRADED_TIMEOUT_MS,
          ({ robustness }) => robustness === 'degraded',
        );
        await this.someWrites();
        return volume;
      },
      describeReplicas,
    );
  }

  private async rebuild(): Promise<void> {
    const { newcomer } = NODES;
    await this.story.step('add-node', `bring up a new node, ${newcomer}`, async () => {
      const { controlSocket } = this.context.paths;
      await askSupervisor(controlSocket, { command: 'add-node', name: newcomer });
      await this.waitFor(`${newcomer} to be ready`, DEGRADED_TIMEOUT_MS, async (session) => {
        const { nodes } = await session.request('node.list', {});
        return nodes.some(({ name, state }) => name === newcomer && state === 'ready') || undefined;
      });
    });
    await this.story.step(
      'rebuild',
      `rebuild the lost replica on ${newcomer} while writes go on`,
      async () => {
        await this.inTrace('rebuild', (session) =>
          this.change(session, 'replica.rebuild', { volume: VOLUME }),
        );
        await this.someWrites();
        return this.waitForVolume(
          'healthy',
          HEALTHY_TIMEOUT_MS,
          ({ robustness }) => robustness === 'healthy',
        );
      },
      describeReplicas,
    );
    await this.story.step(
      'stop-writes',
      'stop writing',
      async () => {
        const report = await this.writer?.stop();
        await this.nbd().flush();
        return report;
      },
      (report) =>
        report === undefined
          ? ''
          : `${report.writes} writes, ${formatBytes(report.bytes)}, none failed; the longest took ${report.longestStallMs} ms`,
    );
  }

  private async compare(): Promise<void> {
    const expected = await this.model().sha256();
    this.result.checksums.expected = expected;
    await this.story.step(
      'compare',
      'read the whole volume and compare it with what was acknowledged',
      async () => {
        const actual = await sha256Of(this.nbd().readAll(0, VOLUME_SIZE_BYTES));
        this.result.checksums.readBack = actual;
        mustBeEqual('the volume', expected, actual);
      },
      () => `the same, sha256 ${short(expected)}`,
    );
    await this.detach('detach', 'detach it');
    await this.story.step(
      'compare-replicas',
      'compare the replicas with each other, on their nodes',
      async () => {
        const reply = await this.inTrace('replica checksum', (session) =>
          session.request('replica.checksum', { volume: VOLUME }),
        );
        this.result.checksums.replicas = Object.fromEntries(
          reply.replicas.map(({ node, sha256 }) => [node, sha256]),
        );
        for (const { node, sha256 } of reply.replicas) {
          mustBeEqual(`the replica on ${node}`, expected, sha256);
        }
        this.result.replicasIdentical = reply.identical && reply.replicas.length === REPLICAS;
        if (!this.result.replicasIdentical) throw differs('the replicas', 'each other');
        return reply;
      },
      ({ replicas }) => `identical on ${replicas.map(({ node }) => node).join(', ')}`,
    );
  }

  private async revert({ lengthBytes }: { readonly lengthBytes: number }): Promise<void> {
    await this.story.step('revert', `revert to snapshot '${SNAPSHOT}'`, () =>
      this.inTrace('revert', (session) =>
        this.change(session, 'snapshot.revert', { volume: VOLUME, snapshot: SNAPSHOT }),
      ),
    );
    const kept = await sha256OfFile(this.file('snapshot.img'));
    this.result.checksums.snapshotExpected = kept;
    await this.story.step('attach-again', `attach it to ${NODES.user}`, () => this.attach());
    await this.story.step(
      'compare-snapshot',
      'read the whole volume and compare it with the snapshot',
      async () => {
        const actual = await sha256Of(this.nbd().readAll(0, VOLUME_SIZE_BYTES));
        this.result.checksums.snapshotReadBack = actual;
        mustBeEqual('the reverted volume', kept, actual);
        const file = await sha256Of(this.nbd().readAll(0, lengthBytes));
        mustBeEqual('the file in it', this.result.checksums.file ?? '', file);
      },
      () => `the same, and the file is whole again`,
    );
  }

  private async deleteVolume(): Promise<void> {
    await this.detach('detach-again', 'detach it');
    await this.story.step('delete', 'delete it', () =>
      this.inTrace('delete', (session) =>
        this.change(session, 'volume.delete', { volume: VOLUME }),
      ),
    );
  }

  private async lookForLeftovers(): Promise<void> {
    await this.story.step(
      'leftovers',
      'look for what is left over: records, space, lvols, subsystems, controllers',
      async () => {
        const nodes = ['n1', 'n2', NODES.newcomer];
        const found = await this.inTrace('leftovers', async (session) => {
          // Users may not look into records.
          const connection = await this.asAdmin();
          try {
            return await findLeftovers({ ...session, connection }, this.context.paths, nodes);
          } finally {
            await connection.close();
          }
        });
        this.result.leftovers = found;
        if (found.length > 0) throw leftOver(found);
      },
      () => 'nothing',
    );
  }

  private async asAdmin(): Promise<NatsConnection> {
    const { clusterFile, credentials } = this.context.paths;
    const { connectNats } = await import('@lariat/messaging');
    return connectNats({
      ...{ servers: readClusterFile(clusterFile)?.natsUrl ?? '', name: 'lariat demo leftovers' },
      ...{ role: { kind: 'admin' }, access: { credentials } },
    });
  }

  private async showTrace(): Promise<void> {
    const { traceId } = this.result;
    if (traceId === null) return;
    const spans = await this.story.step(
      'trace',
      'read the trace of the create request',
      () => this.open.readTrace(traceId),
      (found) => `${found.length} spans, ${traceId}`,
    );
    const { formatTrace } = await import('../output/trace-tree.js');
    this.story.say(`\n${formatTrace(spans)}\n`);
  }

  private async attach(): Promise<string> {
    const volume = await this.inTrace('attach', (session) =>
      this.change(session, 'volume.attach', {
        volume: VOLUME,
        node: NODES.user,
        frontend: 'nbd',
      }),
    );
    const endpoint = volume.attachment?.endpoint;
    if (endpoint === undefined || endpoint === null) {
      throw failure('DEMO_NO_ENDPOINT', 'The volume is attached, but it has no endpoint.');
    }
    this.client = await NbdClient.connect(endpoint);
    if (this.client.sizeBytes !== VOLUME_SIZE_BYTES) {
      throw failure('DEMO_WRONG_SIZE', `The device has ${this.client.sizeBytes} bytes.`);
    }
    return endpoint;
  }

  private async detach(name: string, title: string): Promise<void> {
    await this.story.step(name, title, async () => {
      await this.client?.close();
      this.client = undefined;
      await this.inTrace('detach', (session) =>
        this.change(session, 'volume.detach', { volume: VOLUME }),
      );
    });
  }

  private inTrace<T>(name: string, work: (session: Session) => Promise<T>): Promise<T> {
    return this.open.inTrace(`lariat demo ${name}`, work);
  }

  private change<Name extends MutationName>(
    session: Session,
    name: Name,
    body: RequestMap[Name]['request'],
  ): Promise<RequestMap[Name]['reply']> {
    return change(this.context, session, name, body);
  }

  private waitForVolume(
    what: string,
    timeoutMs: number,
    isSo: (volume: VolumeView) => boolean,
  ): Promise<VolumeView> {
    return this.waitFor(`the volume to be ${what}`, timeoutMs, async (session) => {
      const volume = await session.request('volume.get', { volume: VOLUME });
      return isSo(volume) ? volume : undefined;
    });
  }

  private waitFor<T>(
    what: string,
    timeoutMs: number,
    probe: (session: Session) => Promise<T | undefined>,
  ): Promise<T> {
    return this.inTrace('wait', async (session) => {
      const deadlineMs = performance.now() + timeoutMs;
      while (performance.now() < deadlineMs) {
        if (this.story.interrupted.aborted) break;
        this.writer?.check();
        const found = await probe(session);
        if (found !== undefined) return found;
        await delay(POLL_MS, this.story.interrupted);
      }
      throw new LariatError({
        kind: 'timeout',
        code: 'DEADLINE_EXCEEDED',
        message: `Waited ${timeoutMs / 1000} s for ${what}.`,
      });
    });
  }

  private async someWrites(): Promise<void> {
    const { writer } = this;
    if (writer === undefined) return;
    const until = writer.written + WRITES_PER_PHASE;
    await this.waitFor('writes to go on', DEGRADED_TIMEOUT_MS, () =>
      Promise.resolve(writer.written >= until || undefined),
    );
  }

  private file(name: string): string {
    return join(this.context.paths.dataDir, name);
  }

  private nbd(): NbdClient {
    if (this.client === undefined)
      throw failure('DEMO_NOT_ATTACHED', 'The volume is not attached.');
    return this.client;
  }

  private model(): ExpectedContent {
    if (this.expected === undefined) throw failure('DEMO_NO_MODEL', 'Nothing was written yet.');
    return this.expected;
  }
}
