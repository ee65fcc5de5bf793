import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { STREAMS, commandConsumer, commandSubject } from '@lariat/contracts';
import { delay, LariatError, newInstanceId, toLariatError, withDeadline } from '@lariat/kernel';
import { askForConsumer, connectNats, natsSpanSink } from '@lariat/messaging';
import {
  createTelemetry,
  openMetrics,
  type Log,
  type Metrics,
  type SpanSink,
  type Telemetry,
} from '@lariat/telemetry';
import type { NatsConnection } from '@nats-io/nats-core';
import { LinuxHost } from './adapters/host/linux-host.js';
import { LmdbDigests } from './adapters/lmdb/lmdb-digests.js';
import { LmdbJournal } from './adapters/lmdb/lmdb-journal.js';
import { startCommandService } from './adapters/nats/command-service.js';
import { NatsControlPlane } from './adapters/nats/nats-control-plane.js';
import { ServedFiles } from './adapters/nats/served-files.js';
import { AgentLock } from './adapters/process/agent-lock.js';
import { HostPrograms } from './adapters/process/host-programs.js';
import { StatusFile } from './adapters/process/status-file.js';
import { Presence } from './app/presence.js';
import { writeGateOf } from './app/write-gates.js';
import type { AgentConfig } from './config.js';
import { offersOf } from './domain/frontend-offers.js';
import { AgentFaultPoints } from './fault-points.js';
import { FlaggedDisks } from './flagged-disks.js';
import { bindNode, choosePort } from './node-identity.js';
import { buildNodeParts, type NodeParts } from './node-parts.js';
import type { DigestStorePort } from './ports/digest-store.port.js';
import type { JournalPort } from './ports/journal.port.js';
import { STAND_DOWN_MS } from './prestop.js';
import { Rounds } from './rounds.js';
import { AGENT_VERSION } from './version.js';

const STOP_COMMANDS_MS = 5_000;
const STOP_TARGET_MS = 5_000;
const NATS_RETRY_MS = 1_000;

/** One running agent: its parts, its rounds, and its end. */
export class Agent {
  private readonly rounds: Rounds;
  private readonly stopping = new AbortController();
  private connection: NatsConnection | undefined;
  private commands: { close(): Promise<void> } | undefined;
  private presence: Presence | undefined;
  private leftBehind: readonly string[] | null = null;
  private standingDown: Promise<void> | undefined;

  private constructor(
    private readonly lock: AgentLock,
    private readonly stores: {
      readonly journal: JournalPort;
      readonly digestStore: DigestStorePort;
    },
    private readonly parts: NodeParts & { readonly files: ServedFiles },
    private readonly telemetry: Telemetry,
    private readonly metrics: Metrics,
    private readonly log: Log,
    private readonly tellProcesses: () => void,
  ) {
    this.rounds = new Rounds(stores.journal, parts, log);
  }

  /** Resolves when the node takes commands. Whatever was begun is ended again when it rejects. */
  static async start(config: AgentConfig, log: Log, signal: AbortSignal): Promise<Agent> {
    mkdirSync(config.dataDir, { recursive: true });
    const lock = AgentLock.acquire(config.dataDir);
    const journal = new LmdbJournal(join(config.dataDir, 'journal'));
    const digestStore = new LmdbDigests(join(config.dataDir, 'digests'));
    const agentInstance = newInstanceId();
    let sink: SpanSink | undefined;
    const identity = {
      serviceName: 'node-agent',
      serviceVersion: AGENT_VERSION,
      instanceId: config.node,
    };
    const telemetry = createTelemetry({
      ...identity,
      sink: (spans) => sink?.(spans),
      environment: config.telemetry,
    });
    const metrics = await openMetrics(identity, config.telemetry, log);
    const controlPlane = new NatsControlPlane(config.node);
    const files = new ServedFiles(config.node, config.imageFolders, log);
    const status = new StatusFile(config.dataDir);
    const faults = new AgentFaultPoints();
    const programs = new HostPrograms(log);
    let agent: Agent | undefined;
    try {
      await bindNode(journal, config.node);
      const trsvcid = await choosePort(journal, config);
      const listen = { traddr: config.traddr, trsvcid: String(trsvcid) };
      const offers = offersOf(await new LinuxHost(programs, log).look(), config.frontends);
      const tellProcesses = (): void => {
        const { session, frontends } = parts;
        status.write({
          target: session.process(),
          frontends: frontends.processes(),
          leftBehind: agent?.leftBehind ?? null,
        });
      };
      const parts: NodeParts = buildNodeParts({
        config,
        journal,
        digestStore,
        listen,
        controlPlane,
        files,
        programs,
        offers,
        faults,
        tracer: telemetry.tracer,
        metrics,
        log,
        onProcessChange: tellProcesses,
      });
      agent = new Agent(
        lock,
        { journal, digestStore },
        { ...parts, files },
        telemetry,
        metrics,
        log,
        tellProcesses,
      );
      await parts.keeper.start();
      await agent.rounds.settleDevices();
      agent.rounds.begin();
      const disks = new FlaggedDisks(config, journal, parts, log, agent.stopping.signal);
      await disks.add();
      const connection = await agent.connect(config, signal);
      sink = natsSpanSink(connection);
      controlPlane.use(connection);
      files.use(connection);
      await faults.use(connection, config.node, process.env);
      agent.presence = new Presence({
        node: config.node,
        agentInstance,
        journal,
        controlPlane,
        log,
        absent: (uuid) => parts.drift.absent(uuid) ?? parts.diskWatch.lostLvol(uuid),
        targetFault: () => parts.keeper.fault,
        images: () => parts.imageReports.list(),
        unowned: () => (parts.keeper.ready ? parts.orphans.sight : undefined),
        registration: () => ({
          name: config.node,
          zone: config.zone,
          labels: { ...config.labels },
          traddr: listen.traddr,
          trsvcid: listen.trsvcid,
          frontends: [...offers],
          target: parts.session.version,
          ...writeGateOf(parts.session),
          agentVersion: AGENT_VERSION,
          agentInstance,
          disks: parts.disks.records().map((disk) => {
            const lost = parts.diskWatch.lost(disk.id);
            return { ...disk, tags: [...disk.tags], ...(lost === undefined ? {} : { lost }) };
          }),
        }),
      });
      agent.commands = await startCommandService({
        connection,
        node: config.node,
        agentInstance,
        version: AGENT_VERSION,
        tracer: telemetry.tracer,
        metrics,
        log,
        executor: parts.executor,
        reconciled: parts.counts,
        openConsumer: () =>
          askForConsumer(
            {
              ...{ connection, log, stream: STREAMS.commands.name },
              consumer: commandConsumer(config.node),
              filter: commandSubject(config.node, '>'),
              ask: () => controlPlane.openCommands(),
            },
            signal,
          ),
      });
      agent.presence.start();
      disks.goOn();
      return agent;
    } catch (reason) {
      // A data path that was running before this start goes on running.
      if (agent !== undefined) await agent.stop(agent.parts.keeper.adopted ? 'agent' : 'all');
      else {
        await journal.close();
        await digestStore.close();
        lock.release();
      }
      throw reason;
    }
  }

  get targetPid(): number | undefined {
    return this.parts.session.process()?.pid;
  }

  /**
   * Takes away what others use of this node, before it is stopped. From then on nothing is put back and no command taken, until
   * the next start.
   */
  standDown(): Promise<void> {
    this.standingDown ??= this.takeAway();
    return this.standingDown;
  }

  private async takeAway(): Promise<void> {
    this.stopWatching();
    await this.quietly('stop taking commands', () =>
      withDeadline('commands under way', STOP_COMMANDS_MS, this.endCommands()),
    );
    this.leftBehind = await this.parts.standDown.run(STAND_DOWN_MS);
    this.log.info('stood down', { leftBehind: this.leftBehind });
    this.tellProcesses();
  }

  private stopWatching(): void {
    this.rounds.end();
    this.parts.losses.stop();
  }

  /** `all`: frontends, target, agent. `agent`: the agent alone; the data path goes on. */
  async stop(what: 'all' | 'agent'): Promise<void> {
    if (this.stopping.signal.aborted) return;
    this.stopping.abort();
    const { files, frontends, keeper } = this.parts;
    this.stopWatching();
    this.presence?.stop();
    await this.quietly('stop taking commands', async () => {
      await withDeadline('commands under way', STOP_COMMANDS_MS, this.endCommands());
    });
    await this.quietly('stop giving files', () => files.close());
    if (what === 'all') await this.quietly('stop frontends', () => frontends.stopProcesses());
    await this.quietly('stop target', () => keeper.stop(what === 'all', STOP_TARGET_MS));
    await this.quietly('send spans and metrics', () =>
      Promise.all([this.telemetry.shutdown(), this.metrics.shutdown()]),
    );
    await this.quietly('close NATS', async () => this.connection?.close());
    await this.stores.journal.close();
    await this.stores.digestStore.close();
    this.lock.release();
  }

  private async endCommands(): Promise<void> {
    await this.commands?.close();
  }

  /** One step that fails must not keep the next from being taken. */
  private async quietly(what: string, step: () => Promise<unknown>): Promise<void> {
    try {
      await step();
    } catch (reason) {
      this.log.warn('stopping is not clean', { what, error: toLariatError(reason).message });
    }
  }

  /** Never gives up: the data path does not wait for NATS (invariant 13). */
  private async connect(config: AgentConfig, signal: AbortSignal): Promise<NatsConnection> {
    const { natsUrl: servers, node, bus: access } = config;
    const name = `node-agent ${node}`;
    const role = { kind: 'agent', node } as const;
    while (!signal.aborted) {
      try {
        this.connection = await connectNats({ servers, name, role, access, log: this.log });
        return this.connection;
      } catch (reason) {
        this.log.warn('waiting for NATS', { error: toLariatError(reason).message });
        await delay(NATS_RETRY_MS, signal);
      }
    }
    throw new LariatError({
      kind: 'unavailable',
      code: 'SERVICE_SHUTTING_DOWN',
      message: 'the agent was stopped before NATS answered',
    });
  }
}
