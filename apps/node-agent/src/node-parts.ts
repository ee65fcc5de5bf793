import type { FrontendOffer } from '@lariat/contracts';
import { KeyedQueue, ReconcileCounts, systemClock, type FaultPoints } from '@lariat/kernel';
import { findProgram } from '@lariat/programs';
import { allObservers, tracedCalls } from '@lariat/spdk';
import type { Metrics } from '@lariat/telemetry';
import type { Tracer } from '@opentelemetry/api';
import { nvmeBlockConnector } from './adapters/nvme/nvme-block-connector.js';
import { readBootId } from './adapters/host/boot-id.js';
import { LinuxDeviceMapper } from './adapters/host/linux-device-mapper.js';
import { LinuxDeviceNodes } from './adapters/host/linux-device-nodes.js';
import { LinuxDeviceUsers } from './adapters/host/linux-device-users.js';
import { LinuxKernelNvme } from './adapters/host/linux-kernel-nvme.js';
import { LinuxLoopDevices } from './adapters/host/linux-loop-devices.js';
import { LinuxProcesses } from './adapters/process/linux-processes.js';
import { NodeFiles } from './adapters/process/node-files.js';
import { isRefused } from './adapters/process/tcp-port.js';
import { UnixSockets } from './adapters/process/unix-sockets.js';
import { measuredCalls } from './adapters/spdk/measured-calls.js';
import { targetLaunch } from './adapters/spdk/target-launch.js';
import { TargetSession } from './adapters/spdk/target-session.js';
import { Checksums } from './app/checksums.js';
import { CommandExecutor } from './app/command-executor.js';
import { Controllers } from './app/controllers.js';
import { DeviceGate } from './app/device-gate.js';
import { DeviceLives } from './app/device-lives.js';
import { diskCommands } from './app/disk.commands.js';
import { DiskWatch } from './app/disk-watch.js';
import { Disks } from './app/disks.js';
import { DmDriver } from './app/dm-driver.js';
import { engineCommands } from './app/engine.commands.js';
import { DriftWatch } from './app/drift-watch.js';
import { EngineWatch } from './app/engine-watch.js';
import { Engines } from './app/engines.js';
import { Exports } from './app/exports.js';
import { frontendCommands } from './app/frontend.commands.js';
import { Frontends } from './app/frontends.js';
import { ImageCopies } from './app/image-copies.js';
import { ImageReports } from './app/image-reports.js';
import { imageContentCommands } from './app/image-content.commands.js';
import { ImageIo } from './app/image-io.js';
import { imageFileCommands } from './app/image-file.commands.js';
import { imageCommands } from './app/image.commands.js';
import { LostExports } from './app/lost-exports.js';
import { LoopDriver } from './app/loop-driver.js';
import { LossReporter } from './app/loss-reporter.js';
import { LvolReader } from './app/lvol-reader.js';
import { Lvols } from './app/lvols.js';
import { meteredCopies } from './app/metered-copies.js';
import { OrphanWatch } from './app/orphan-watch.js';
import { orphanCommands } from './app/orphan.commands.js';
import { recordCommands } from './app/record.commands.js';
import { rebuildCommands } from './app/rebuild.commands.js';
import { replicaCommands } from './app/replica.commands.js';
import { Raids } from './app/raids.js';
import { Restore } from './app/restore.js';
import { resyncCommands } from './app/resync.commands.js';
import { SnapshotDigests } from './app/snapshot-digests.js';
import { StandDown } from './app/stand-down.js';
import { snapshotCommands } from './app/snapshot.commands.js';
import { Survey } from './app/survey.js';
import { TargetKeeper } from './app/target-keeper.js';
import { observeTargetIo } from './app/target-io.js';
import { targetCommands } from './app/target.commands.js';
import { WriteGates } from './app/write-gates.js';
import type { AgentConfig } from './config.js';
import { programFile } from './program-file.js';
import type { ControlPlanePort } from './ports/control-plane.port.js';
import type { DigestStorePort } from './ports/digest-store.port.js';
import type { FileServingPort } from './ports/file-serving.port.js';
import type { JournalPort } from './ports/journal.port.js';
import type { LogPort } from './ports/log.port.js';
import type { ProgramsPort } from './ports/programs.port.js';
import type { ListenPort } from './ports/target.port.js';

export interface NodePartsOptions {
  readonly config: AgentConfig;
  readonly journal: JournalPort;
  readonly digestStore: DigestStorePort;
  readonly listen: ListenPort;
  readonly controlPlane: ControlPlanePort;
  readonly files: FileServingPort;
  readonly programs: ProgramsPort;
  /** How volumes can be used on this machine. */
  readonly offers: readonly FrontendOffer[];
  readonly faults: FaultPoints;
  readonly tracer: Tracer;
  readonly metrics: Metrics;
  readonly log: LogPort;
  /** Called when a process of this node has come or gone. */
  readonly onProcessChange: () => void;
}

export interface NodeParts {
  readonly queue: KeyedQueue;
  readonly session: TargetSession;
  readonly keeper: TargetKeeper;
  readonly restore: Restore;
  readonly standDown: StandDown;
  readonly watch: EngineWatch;
  readonly drift: DriftWatch;
  readonly orphans: OrphanWatch;
  readonly counts: ReconcileCounts;
  readonly losses: LossReporter;
  readonly disks: Disks;
  readonly diskWatch: DiskWatch;
  readonly lostExports: LostExports;
  readonly frontends: Frontends;
  readonly devices: DeviceLives;
  readonly digests: SnapshotDigests;
  readonly imageReports: ImageReports;
  readonly executor: CommandExecutor;
}

/** A command waits this long for a target that is being restarted before it is sent back as retryable. */
const TARGET_WAIT_MS = 8_000;

/** Puts the agent together; nothing runs yet. */
export function buildNodeParts(options: NodePartsOptions): NodeParts {
  const { config, journal, listen, controlPlane, metrics, log } = options;
  const { node } = config;
  const clock = systemClock;
  const queue = new KeyedQueue();
  const counts = new ReconcileCounts();
  const processes = new LinuxProcesses();
  const launch = targetLaunch({ ...config, kind: config.target });
  const observer = allObservers([tracedCalls(options.tracer), measuredCalls(metrics, node)]);
  const session = new TargetSession({
    ...{ launch, listen, processes, journal, observer },
    startDeadlineMs: config.targetStartMs,
  });
  const target = session;
  observeTargetIo({ node, journal, target, metrics });
  const lvols = new Lvols(journal, target);
  const exports = new Exports(journal, target, listen);
  const controllers = new Controllers(journal, target);
  const raids = new Raids(target, exports);
  const engines = new Engines(journal, target, controllers, exports, raids);
  const nodeFiles = new NodeFiles();
  const disks = new Disks(journal, target, nodeFiles, {
    claim: (disk, lvsUuid) => controlPlane.claimStore({ node, disk, lvsUuid }),
  });
  const diskWatch = new DiskWatch({
    ...{ journal, target, files: nodeFiles, disks, queue, clock, counts, log },
  });
  const lost = (uuid: string | null): string | undefined => diskWatch.lostLvol(uuid);
  const reader = new LvolReader(node, journal, exports, nvmeBlockConnector);
  const checksums = new Checksums(journal, reader);
  const digests = new SnapshotDigests({
    journal,
    target,
    lvols,
    reader,
    store: options.digestStore,
  });
  const images = new ImageCopies({ journal, target, lvols, exports, queue });
  const io = new ImageIo(node, images, reader);
  const imageReports = new ImageReports({ journal, lvols });
  const { dataDir, deviceDir } = config;
  const bootId = readBootId();
  const nodes = new LinuxDeviceNodes();
  const nbdfuse = findProgram('nbdfuse') ?? 'nbdfuse';
  const loops = new LinuxLoopDevices(options.programs);
  const nvme = new LinuxKernelNvme(options.programs, config.kernelLossSeconds);
  const mapper = new LinuxDeviceMapper(options.programs);
  const discards = (): boolean =>
    config.target === 'soft' || session.version.includes('soft-target');
  const devices = new DeviceLives({
    ...{ journal, users: new LinuxDeviceUsers(), clock, counts, log },
    drivers: {
      loop: new LoopDriver({
        ...{ journal, processes, loops, nodes, clock, log, dataDir, deviceDir, nbdfuse },
      }),
      dm: new DmDriver({ journal, nvme, mapper, nodes, clock, bootId, deviceDir, discards }),
    },
  });
  const device = new DeviceGate({ journal, nvme, mapper, devices, clock, log });
  const gates = new WriteGates({ journal, target, device, clock });
  const frontends = new Frontends({
    journal,
    devices,
    processes,
    sockets: new UnixSockets(),
    clock,
    counts,
    log,
    ...{ dataDir, bootId, discards },
    nbdCommand: [process.execPath, programFile('../dist/nbd/main.js')],
    onChange: options.onProcessChange,
  });
  const losses = new LossReporter({ node, controlPlane, engines, frontends, queue, log });
  const watch = new EngineWatch({
    journal,
    target,
    engines,
    controllers,
    reachability: { isRefused },
    lostLvol: lost,
    losses,
    frontends,
    queue,
    clock,
    counts,
    log,
  });
  const drift = new DriftWatch({
    journal,
    target,
    exports,
    engines,
    lvols,
    lost,
    queue,
    counts,
    log,
  });
  const lostExports = new LostExports({ journal, target, exports, lost, queue, counts, log });
  const orphans = new OrphanWatch({ journal, target, clock, counts });
  const restore = new Restore({
    node,
    journal,
    target,
    listen,
    disks,
    lvols,
    exports,
    controllers,
    lost,
    queue,
    log,
  });
  const keeper = new TargetKeeper({
    life: session,
    restore,
    clock,
    log,
    onReady: () => {
      options.onProcessChange();
      void watch.poll();
    },
  });
  const replicas = replicaCommands({
    ...{ journal, target, lvols, exports, controllers, checksums, images },
  });
  const standDown = new StandDown({ journal, target, engines, frontends, clock, log });
  const executor = new CommandExecutor({
    journal,
    queue,
    clock,
    faults: options.faults,
    whenReady: () => keeper.whenReady(TARGET_WAIT_MS),
    report: (operation, commandId, command) =>
      meteredCopies(metrics, node, command, (done, total, unit) =>
        controlPlane.progress(operation, { commandId, done, total, unit }),
      ),
    handlers: {
      ...targetCommands({ target, life: session, keeper, log }),
      ...diskCommands(disks),
      ...replicas,
      ...orphanCommands({ journal, target, deleteReplica: replicas['replica.delete'] }),
      ...snapshotCommands({ target, lvols, exports }),
      ...engineCommands({ node, journal, target, lvols, exports, engines, gates, clock }),
      ...rebuildCommands({ node, journal, target, lvols, exports, controllers, images }),
      ...resyncCommands({ journal, target, lvols, exports, controllers, reader, digests }),
      ...imageCommands({ journal, target, lvols, exports, digests, images, io }),
      ...imageContentCommands({ exports, digests, images, io }),
      ...imageFileCommands(options.files),
      ...frontendCommands(journal, exports, frontends, devices, target, options.offers),
      ...recordCommands(journal, new Survey(journal, target)),
    },
  });
  return {
    ...{ queue, session, keeper, restore, watch, drift, counts, losses, disks, frontends, devices },
    ...{ diskWatch, lostExports, digests, imageReports, orphans, standDown, executor },
  };
}
