import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandEnvelope, CommandName } from '@lariat/contracts';
import { KeyedQueue, ReconcileCounts, systemClock, type Clock } from '@lariat/kernel';
import { LmdbDigests } from '../adapters/lmdb/lmdb-digests.js';
import { LmdbJournal } from '../adapters/lmdb/lmdb-journal.js';
import { Checksums } from '../app/checksums.js';
import type { CommandContext } from '../app/command-handlers.js';
import { Controllers } from '../app/controllers.js';
import { DeviceGate } from '../app/device-gate.js';
import { DeviceLives } from '../app/device-lives.js';
import { DmDriver } from '../app/dm-driver.js';
import { DriftWatch, type DriftWatchParts } from '../app/drift-watch.js';
import { EngineWatch } from '../app/engine-watch.js';
import { engineCommands } from '../app/engine.commands.js';
import { Engines } from '../app/engines.js';
import { Exports } from '../app/exports.js';
import { ImageCopies } from '../app/image-copies.js';
import { ImageReports } from '../app/image-reports.js';
import { imageContentCommands } from '../app/image-content.commands.js';
import { ImageIo } from '../app/image-io.js';
import { imageCommands } from '../app/image.commands.js';
import { LossReporter } from '../app/loss-reporter.js';
import { LvolReader } from '../app/lvol-reader.js';
import { Lvols } from '../app/lvols.js';
import { Raids } from '../app/raids.js';
import { recordCommands } from '../app/record.commands.js';
import { rebuildCommands } from '../app/rebuild.commands.js';
import { replicaCommands } from '../app/replica.commands.js';
import { resyncCommands } from '../app/resync.commands.js';
import { SnapshotDigests } from '../app/snapshot-digests.js';
import { snapshotCommands } from '../app/snapshot.commands.js';
import { Survey } from '../app/survey.js';
import { WriteGates } from '../app/write-gates.js';
import type { BlockConnectorPort, ConnectedDevice } from '../ports/block-connector.port.js';
import type { LogPort } from '../ports/log.port.js';
import { FakeKernel } from './fake-kernel.js';
import { FakeTarget } from './fake-target.js';

export const silentLog: LogPort = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

export function tempDir(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'lariat-agent-unit-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export const context: CommandContext = newContext();

/** Of a command that has not run before. */
export function newContext(): CommandContext {
  let noted: unknown;
  return {
    operation: 'op-1',
    progress: () => undefined,
    noted: () => noted,
    note: async (value) => {
      noted = value;
    },
  };
}

export function envelopeOf<Name extends CommandName>(
  command: Name,
  input: CommandEnvelope<Name>['input'],
  over: Partial<CommandEnvelope<Name>> = {},
): CommandEnvelope<Name> {
  return {
    id: `op-1/${command}`,
    command,
    operation: 'op-1',
    step: 'step',
    fence: 1,
    deadlineAtMs: Date.now() + 60_000,
    input,
    ...over,
  };
}

/** What outlives an agent. */
export interface FixtureWorld {
  readonly journal: LmdbJournal;
  readonly target: FakeTarget;
  readonly kernel: FakeKernel;
  readonly clock: Clock;
}

/** The handlers over a fake target and a real journal, with one disk. */
export async function fixture(
  path: string,
  over: Partial<BlockConnectorPort> = {},
  {
    journal = new LmdbJournal(path),
    target = new FakeTarget(),
    kernel = new FakeKernel(target),
    clock = systemClock,
  }: Partial<FixtureWorld> = {},
) {
  const listen = { traddr: '127.0.0.1', trsvcid: '4420' };
  const lvols = new Lvols(journal, target);
  const exports = new Exports(journal, target, listen);
  const controllers = new Controllers(journal, target);
  const engines = new Engines(journal, target, controllers, exports, new Raids(target, exports));
  const connector = {
    connect: (): Promise<ConnectedDevice> => Promise.reject(new Error('no device in this test')),
    ...over,
  };
  const reader = new LvolReader('n1', journal, exports, connector);
  const checksums = new Checksums(journal, reader);
  const digestStore = new LmdbDigests(join(path, 'digests'));
  const digests = new SnapshotDigests({ journal, target, lvols, reader, store: digestStore });
  const queue = new KeyedQueue();
  const images = new ImageCopies({ journal, target, lvols, exports, queue });
  const io = new ImageIo('n1', images, reader);
  const imageReports = new ImageReports({ journal, lvols });
  const node = 'n1';
  const log = silentLog;
  const [nvme, mapper] = [kernel, kernel];
  const counts = new ReconcileCounts();
  const devices = new DeviceLives({
    ...{ journal, clock, counts, log },
    users: { usersOf: () => Promise.resolve([]) },
    drivers: {
      loop: { look: () => () => 'settled' } as never,
      dm: new DmDriver({
        ...{ journal, nvme, mapper, nodes: kernel.nodes, clock, bootId: 'boot' },
        deviceDir: '/dev/lariat',
        discards: () => target.supports('lariat_bdev_quiesce'),
      }),
    },
  });
  const device = new DeviceGate({ journal, nvme, mapper, devices, clock, log });
  const gates = new WriteGates({ journal, target, device, clock });
  await journal.putOwned({
    kind: 'disk',
    name: 'disk-1',
    uuid: 'store-uuid',
    owner: 'disk-1',
    volume: null,
    operation: 'op-0',
    epoch: null,
    params: {
      diskName: 'd1',
      path: '/dev/null',
      tags: [],
      madeSizeBytes: null,
      bdevUuid: 'bdev-uuid',
      capacityBytes: 1 << 30,
      clusterSizeBytes: 1 << 20,
    },
  });
  const handlers = {
    ...replicaCommands({ journal, target, lvols, exports, controllers, checksums, images }),
    ...snapshotCommands({ target, lvols, exports }),
    ...engineCommands({ node, journal, target, lvols, exports, engines, gates, clock }),
    ...rebuildCommands({ node, journal, target, lvols, exports, controllers, images }),
    ...recordCommands(journal, new Survey(journal, target)),
    ...imageCommands({ journal, target, lvols, exports, digests, images, io }),
    ...imageContentCommands({ exports, digests, images, io }),
    ...resyncCommands({ journal, target, lvols, exports, controllers, reader, digests }),
  };
  return {
    journal,
    target,
    lvols,
    exports,
    controllers,
    engines,
    kernel,
    devices,
    digests,
    digestStore,
    imageReports,
    handlers,
    queue,
  };
}

export type Fixture = Awaited<ReturnType<typeof fixture>>;

/** A replica with an export, which admits one host; the NQN of the export. */
export async function exportedReplica({ handlers, journal }: Fixture): Promise<string> {
  const of = { replica: 'rep-1', volume: 'vol-1' };
  await handlers['replica.create']({ ...of, disk: 'disk-1', sizeBytes: 8 << 20 }, context);
  await handlers['replica.export']({ ...of, epoch: 1, hostNqns: ['nqn.host'] }, context);
  return journal.ownedOfKind('subsystem')[0]?.name ?? '';
}

export interface EngineWatchSetting {
  /** Of the volume's service, to a report of lost legs. */
  readonly report: () => Promise<void>;
  readonly hasServedSince: (volume: string, atMs: number | undefined) => boolean;
  readonly stopFrontend: (volume: string) => Promise<void>;
  readonly clock: Clock;
}

/** Of the engines of the fixture, with nobody unreachable and no disk lost. */
export function engineWatch(
  { journal, target, engines, controllers, queue }: Fixture,
  {
    report = () => Promise.resolve(),
    hasServedSince = () => true,
    stopFrontend = () => Promise.resolve(),
    clock = systemClock,
  }: Partial<EngineWatchSetting> = {},
): EngineWatch {
  const controlPlane = {
    reportEngine: report,
    claimStore: () => Promise.resolve(),
    register: () => Promise.reject(new Error('no node registers in this test')),
    heartbeat: () => undefined,
    inventory: () => undefined,
    progress: () => undefined,
  };
  const common = { engines, queue, log: silentLog };
  const frontends = { stop: stopFrontend, hasServedSince };
  return new EngineWatch({
    ...{ ...common, journal, target, controllers, frontends, clock },
    losses: new LossReporter({ ...common, node: 'n1', frontends, controlPlane }),
    reachability: { isRefused: () => Promise.resolve(false) },
    lostLvol: () => undefined,
    counts: new ReconcileCounts(),
  });
}

/** Of what the fixture has on record; `lost` says of an lvol's uuid why its disk is lost. */
export function driftWatch(
  { journal, target, exports, engines, lvols, queue }: Fixture,
  {
    lost = () => undefined,
    counts = new ReconcileCounts(),
  }: Partial<Pick<DriftWatchParts, 'lost' | 'counts'>> = {},
): DriftWatch {
  const parts = { journal, target, exports, engines, lvols, queue };
  return new DriftWatch({ ...parts, lost, counts, log: silentLog });
}
