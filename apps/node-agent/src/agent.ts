import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { STREAMS, commandConsumer, commandSubject } from '@lariat/contracts';
import {
  delay,
  LariatError,
  newDiskId,
  newInstanceId,
  toLariatError,
  withDeadline,
} from '@lariat/kernel';
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
import { probePort } from './adapters/process/tcp-port.js';
import { ORPHAN_WATCH_MS } from './app/orphan-watch.js';
import { Presence } from './app/presence.js';
import { writeGateOf } from './app/write-gates.js';
import type { AgentConfig } from './config.js';
import { offersOf } from './domain/frontend-offers.js';
import { AgentFaultPoints } from './fault-points.js';
import { buildNodeParts, type NodeParts } from './node-parts.js';
import type { DigestStorePort } from './ports/digest-store.port.js';
import type { JournalPort } from './ports/journal.port.js';
import { STAND_DOWN_MS } from './prestop.js';
import { AGENT_VERSION } from './version.js';

const WATCH_MS = 500;
/** Writes wait for a leg that died until this has seen it: a part of the stall that users see. */
const ENGINE_WATCH_MS = 200;
/** All of the target is listed each time. */
const DRIFT_WATCH_MS = 3_000;
/** Sooner than a replica that was lost is asked for what it has: a disk that was let go for a moment is back by then. */
const DISK_WATCH_MS = 1_000;
/** How many replicas stand on an image's copy bears on what may be evicted, which nobody decides in less. */
const IMAGE_WATCH_MS = 1_000;
const RESTORE_RETRY_MS = 1_000;
const DISK_RETRY_MS = 1_000;
const TARGET_WAIT_MS = 5_000;
const PRUNE_MS = 3_600_000;
const JOURNAL_KEEP_MS = 24 * 3_600_000;
/** The node is ready after that, whatever hangs. */
const SETTLE_DEVICES_MS = 2_000;
const STOP_COMMANDS_MS = 5_000;
const STOP_TARGET_MS = 5_000;
const NATS_RETRY_MS = 1_000;

type DiskFlag = AgentConfig['disks'][number];

/** One running agent: its parts, its timers, and its end. */
export class Agent {
  private readonly timers: NodeJS.Timeout[] = [];
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
  ) {}

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
      await agent.settleDevices();
      agent.watchOver();
      // Without its target, which others start, the node is there, and what it lacks is told.
      const later = parts.keeper.ready ? await agent.addDisks(config) : config.disks;
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
      agent.addLater(config, later);
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
    for (const timer of this.timers) clearInterval(timer);
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

  /** Answers those of which nobody can tell yet whose they are: the node does not wait for its services with what it has. */
  private async addDisks(config: AgentConfig): Promise<readonly DiskFlag[]> {
    const later: DiskFlag[] = [];
    for (const disk of config.disks) {
      try {
        await this.addDisk(config, disk);
      } catch (reason) {
        const { code, kind, message } = toLariatError(reason);
        if (code !== 'DISK_TAKEN' && kind !== 'unavailable') throw reason;
        this.log.warn('disk not added yet', { disk: disk.name, error: message });
        later.push(disk);
      }
    }
    return later;
  }

  private addLater(config: AgentConfig, disks: readonly DiskFlag[]): void {
    for (const disk of disks) void this.addUntilDone(config, disk);
  }

  private async addUntilDone(config: AgentConfig, disk: DiskFlag): Promise<void> {
    const { signal } = this.stopping;
    let said = '';
    while (!signal.aborted) {
      try {
        await this.parts.keeper.whenReady(TARGET_WAIT_MS);
        await this.addDisk(config, disk);
        this.log.info('disk added', { disk: disk.name });
        return;
      } catch (reason) {
        const { message } = toLariatError(reason);
        // Said once: it may stay so until somebody does something.
        if (message !== said) this.log.warn('disk not added', { disk: disk.name, error: message });
        said = message;
      }
      await delay(DISK_RETRY_MS, signal);
    }
  }

  private async addDisk(config: AgentConfig, flag: DiskFlag): Promise<void> {
    const key = `disk/${flag.name}`;
    const known = this.stores.journal.setting(key);
    const disk = typeof known === 'string' ? known : newDiskId();
    // Durable first: the same name must be the same disk after a crash in the middle.
    if (known === undefined) await this.stores.journal.putSetting(key, disk);
    const path = join(config.dataDir, 'disks', `${flag.name}.img`);
    const { queue, disks } = this.parts;
    // One that is on record is loaded already, or lost: then its watch tells of it, and the node does without.
    if (this.stores.journal.owned('disk', disk)?.uuid != null) return;
    const { id } = await queue.run(`disk/${disk}`, () =>
      disks.add(
        { disk, name: flag.name, path, tags: [], sizeBytes: flag.sizeBytes },
        'agent-start',
      ),
    );
    // It was a disk of this cluster before, and has kept its id.
    if (id !== disk) await this.stores.journal.putSetting(key, id);
  }

  /** Each in the lane of the commands on its volume: an attach comes after what is put right before it. */
  private async repairDevices(): Promise<void> {
    const { devices, queue } = this.parts;
    await Promise.all(
      devices
        .unsettled()
        .map((volume) => queue.run(`volume/${volume}`, () => devices.repair(volume))),
    );
  }

  /** What is stuck is gone on with in its lane, and holds up neither the others nor the node. */
  private async settleDevices(): Promise<void> {
    const repairs = this.repairDevices();
    await withDeadline('devices to be as recorded', SETTLE_DEVICES_MS, repairs).catch(
      (reason: unknown) => this.log.warn('devices', { error: toLariatError(reason).message }),
    );
  }

  private watchOver(): void {
    const { keeper, watch, drift, orphans, frontends, restore, queue } = this.parts;
    const { digests, imageReports, diskWatch, lostExports } = this.parts;
    const every = (ms: number, task: () => Promise<unknown> | undefined): void => {
      this.timers.push(
        setInterval(() => {
          void task()?.catch((reason: unknown) => {
            this.log.warn('round failed', { error: toLariatError(reason).message });
          });
        }, ms),
      );
    };
    every(ENGINE_WATCH_MS, () => (keeper.ready ? watch.poll() : undefined));
    every(DRIFT_WATCH_MS, () => (keeper.ready ? drift.look() : undefined));
    every(DISK_WATCH_MS, async () => {
      if (!keeper.ready) return;
      await diskWatch.look();
      await lostExports.look();
    });
    every(ORPHAN_WATCH_MS, () => (keeper.ready ? orphans.look() : undefined));
    every(WATCH_MS, () =>
      Promise.all(
        frontends
          .dead()
          .map((volume) => queue.run(`volume/${volume}`, () => frontends.revive(volume))),
      ),
    );
    every(WATCH_MS, () => this.repairDevices());
    every(RESTORE_RETRY_MS, () =>
      keeper.ready && restore.isIncomplete ? restore.retry() : undefined,
    );
    every(PRUNE_MS, () => this.stores.journal.prune(Date.now() - JOURNAL_KEEP_MS));
    void this.stores.journal.prune(Date.now() - JOURNAL_KEEP_MS);
    every(PRUNE_MS, () => digests.sweep());
    every(IMAGE_WATCH_MS, () => (keeper.ready ? imageReports.refresh() : undefined));
  }
}

/** A data folder belongs to one node: its replicas are on record under that name. */
async function bindNode(journal: JournalPort, node: string): Promise<void> {
  const known = journal.setting('node');
  if (known === undefined) await journal.putSetting('node', node);
  else if (known !== node) {
    throw new LariatError({
      kind: 'precondition',
      code: 'DATA_FOLDER_TAKEN',
      message: `the data folder belongs to node ${JSON.stringify(known)}, not '${node}'; give --data another folder, or --node that name`,
    });
  }
}

/** The port that volumes of this node are known by; kept over restarts. */
async function choosePort(journal: JournalPort, config: AgentConfig): Promise<number> {
  const known = journal.setting('trsvcid');
  let port = config.trsvcid;
  if (port === 0) {
    port = typeof known === 'number' ? known : await freePort(config.traddr);
  }
  if (known !== port) await journal.putSetting('trsvcid', port);
  return port;
}

/** Below the range from which Linux takes the ports of outgoing connections (32768 to 60999). */
const PORT_RANGE = { first: 20_000, count: 12_000 } as const;
const PORT_TRIES = 50;

async function freePort(traddr: string): Promise<number> {
  for (let attempt = 0; attempt < PORT_TRIES; attempt += 1) {
    const port = PORT_RANGE.first + Math.floor(Math.random() * PORT_RANGE.count);
    if ((await probePort(traddr, port)) !== undefined) return port;
  }
  throw new LariatError({
    kind: 'unavailable',
    code: 'TARGET_UNAVAILABLE',
    message: `no free port was found on ${traddr}; give one with --trsvcid`,
  });
}
