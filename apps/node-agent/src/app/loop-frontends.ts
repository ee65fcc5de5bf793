import { lariatError } from '@lariat/contracts';
import { delay, toLariatError, type Clock, type ReconcileCounts } from '@lariat/kernel';
import { join } from 'node:path';
import {
  loopOf,
  nextLoopStep,
  servedFile,
  type LoopStep,
  type LoopWorld,
} from '../domain/loop-life.js';
import type { OwnedFrontend, OwnedLoop } from '../domain/ownership.js';
import type { DeviceNodesPort } from '../ports/device-nodes.port.js';
import type { DeviceUsersPort } from '../ports/device-users.port.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { LogPort } from '../ports/log.port.js';
import type { LoopDevicesPort } from '../ports/loop-devices.port.js';
import type { ProcessesPort, ProcessIdentity } from '../ports/processes.port.js';

export interface LoopFrontendParts {
  readonly journal: JournalPort;
  readonly processes: ProcessesPort;
  readonly loops: LoopDevicesPort;
  readonly nodes: DeviceNodesPort;
  readonly users: DeviceUsersPort;
  readonly clock: Clock;
  readonly counts: ReconcileCounts;
  readonly log: LogPort;
  readonly dataDir: string;
  /** Where users of this host look for volumes. */
  readonly deviceDir: string;
  /** The program that serves an NBD export as a file. */
  readonly nbdfuse: string;
}

const MOUNT_DEADLINE_MS = 5_000;
const MOUNT_POLL_MS = 10;
const STOP_DEADLINE_MS = 3_000;
const RETRY_MS = 5_000;
/** A life takes at most five steps; more of them means that the machine does not do what it was told. */
const MAX_STEPS = 12;
/** The agent itself, where no operation asks. */
const BY_ITSELF = 'agent';

/** Loop devices on NBD servers of this node: block devices for hosts whose kernel has no NVMe/TCP. */
export class LoopFrontends {
  /** By volume: what could not be put right; it is said once, and tried again not at once. */
  private readonly failures = new Map<string, { message: string; retryAtMs: number }>();

  private readonly repairing = new Set<string>();

  constructor(private readonly parts: LoopFrontendParts) {}

  /** Makes the device of an attachment whose NBD server runs, or adopts it; answers its node. */
  async ensure(frontend: OwnedFrontend, sectorSizeBytes: number): Promise<string> {
    const { journal, clock } = this.parts;
    const volume = frontend.name;
    for (const record of this.livesOf(volume)) {
      if (record.epoch !== frontend.epoch) await this.leave(record, 'forced');
    }
    const current = this.current(volume) ?? this.plan(frontend, sectorSizeBytes);
    await journal.putOwned(current);
    const deadlineMs = clock.monotonicMs() + MOUNT_DEADLINE_MS;
    for (;;) {
      await this.advanceAll(volume, frontend.operation);
      const now = this.current(volume);
      if (now !== undefined && this.stepOf(now) === 'settled') return now.params.node;
      if (clock.monotonicMs() > deadlineMs) {
        throw lariatError(
          'DEVICE_NOT_MADE',
          `the device of volume ${volume} is not there after ${MOUNT_DEADLINE_MS} ms; see logs/nbdfuse-${volume}.log in the data folder`,
        );
      }
      await delay(MOUNT_POLL_MS);
    }
  }

  /** What uses the volume's devices here; it is not to be detached while anything does. */
  async usersOf(volume: string): Promise<readonly string[]> {
    const { loops, users } = this.parts;
    const seen = loops.list();
    const found: string[] = [];
    for (const record of this.livesOf(volume)) {
      const loop = loopOf(record, seen);
      if (loop === undefined) continue;
      const uses = await users.usersOf(loop.device);
      found.push(...uses.map((use) => `${loop.device}: ${use}`));
    }
    return found;
  }

  /**
   * Takes the volume's devices away. `unused`: refused with DEVICE_BUSY while something uses one. `forced`: what uses one
   * gets errors, and the device goes with its last user; nobody waits for that.
   */
  async release(volume: string, how: 'unused' | 'forced'): Promise<void> {
    const lives = this.livesOf(volume);
    if (lives.length === 0) return;
    if (how === 'unused') {
      const users = await this.usersOf(volume);
      if (users.length > 0) throw deviceBusy(volume, users);
    }
    for (const record of lives) await this.leave(record, how);
    await this.advanceAll(volume, BY_ITSELF);
    const left = this.livesOf(volume);
    if (how === 'unused' && left.length > 0) {
      throw deviceBusy(volume, await this.usersOf(volume));
    }
  }

  /** Ends what nothing uses, so that this agent's end leaves no device without a server; all stay on record. */
  async pause(): Promise<void> {
    const { journal, log } = this.parts;
    const volumes = new Set(journal.ownedOfKind('loop').map(({ volume }) => volume));
    await Promise.all(
      Array.from(volumes, async (volume) => {
        const users = await this.usersOf(volume);
        if (users.length === 0) await this.dismantle(volume);
        else log.warn('device in use: its I/O waits for the next start', { volume, users });
      }),
    );
  }

  /** Whether the NBD server of the volume must go on, since a device that is in use stands on it. */
  isBound(volume: string): boolean {
    const seen = this.parts.loops.list();
    return this.livesOf(volume).some((record) => loopOf(record, seen) !== undefined);
  }

  /** Volumes of which something is not as it should be; the caller has each put right in the volume's lane. */
  unsettled(): readonly string[] {
    const { journal, clock, counts } = this.parts;
    const all = journal.ownedOfKind('loop');
    if (all.length === 0) return [];
    counts.looked('devices', all.length);
    const nowMs = clock.monotonicMs();
    const found = all.filter((record) => {
      if (this.repairing.has(record.volume)) return false;
      if (nowMs < (this.failures.get(record.volume)?.retryAtMs ?? 0)) return false;
      return this.isUnwanted(record) || this.isUnsettled(record);
    });
    return Array.from(new Set(found.map(({ volume }) => volume)));
  }

  /** Brings the volume's devices to what they should be, as far as the machine lets it now. */
  async repair(volume: string): Promise<void> {
    const { clock, counts, log } = this.parts;
    // A command that ran in the lane meanwhile may have made it what it should be.
    if (!this.unsettled().includes(volume)) return;
    this.repairing.add(volume);
    counts.repaired('devices');
    try {
      for (const record of this.livesOf(volume)) {
        if (this.isUnwanted(record)) await this.leave(record, 'forced');
      }
      await this.advanceAll(volume, BY_ITSELF);
      this.failures.delete(volume);
    } catch (reason) {
      const { message } = toLariatError(reason);
      if (this.failures.get(volume)?.message !== message)
        log.warn('device not put right yet', { volume, error: message });
      this.failures.set(volume, { message, retryAtMs: clock.monotonicMs() + RETRY_MS });
    } finally {
      this.repairing.delete(volume);
    }
  }

  private isUnsettled(record: OwnedLoop): boolean {
    try {
      const step = this.stepOf(record);
      return step !== 'settled' && step !== 'in-use' && !this.waitsForServer(record, step);
    } catch {
      // What keeps it from being looked at keeps it from being repaired, which tells.
      return true;
    }
  }

  private livesOf(volume: string): readonly OwnedLoop[] {
    return this.parts.journal.ownedOfKind('loop').filter((record) => record.volume === volume);
  }

  private current(volume: string): OwnedLoop | undefined {
    return this.livesOf(volume).find(({ params }) => params.leaving === null);
  }

  private plan(frontend: OwnedFrontend, sectorSizeBytes: number): OwnedLoop {
    const { dataDir, deviceDir } = this.parts;
    const { name: volume, epoch, operation, params } = frontend;
    const lives = this.livesOf(volume).flatMap((record) =>
      record.epoch === epoch ? [Number(record.name.slice(record.name.lastIndexOf('.') + 1))] : [],
    );
    const name = `${volume}.${epoch}.${Math.max(0, ...lives) + 1}`;
    return {
      ...{ kind: 'loop', name, uuid: params.endpoint.uuid, owner: volume, volume },
      ...{ operation, epoch },
      params: {
        folder: join(dataDir, 'loop', name),
        socketPath: params.socketPath ?? '',
        sectorSizeBytes,
        node: join(deviceDir, volume),
        ...{ pointedAt: null, process: null, server: null, leaving: null },
      },
    };
  }

  private isUnwanted(record: OwnedLoop): boolean {
    if (record.params.leaving !== null) return false;
    const frontend = this.parts.journal.owned('frontend', record.volume);
    return frontend?.epoch !== record.epoch || frontend.params.frontend !== 'loop';
  }

  /** Nothing can be done before the server is back, which is somebody else's work. */
  private waitsForServer({ volume }: OwnedLoop, step: LoopStep): boolean {
    return step === 'serve' && this.server(volume) === undefined;
  }

  private server(volume: string): ProcessIdentity | undefined {
    const { journal, processes } = this.parts;
    const process = journal.owned('frontend', volume)?.params.process ?? undefined;
    return process !== undefined && processes.isAlive(process) ? process : undefined;
  }

  private worldOf(record: OwnedLoop): LoopWorld {
    const { loops, nodes, processes } = this.parts;
    const { folder, node, process, server, leaving } = record.params;
    const isRunning = process !== null && processes.isAlive(process);
    const runs = this.server(record.volume);
    return {
      loops: loops.list(),
      isRunning,
      isServing:
        isRunning &&
        runs !== undefined &&
        runs.pid === server?.pid &&
        runs.startTime === server.startTime,
      isMounted: loops.isMounted(folder),
      pointsTo: leaving === null ? nodes.read(node) : null,
    };
  }

  private stepOf(record: OwnedLoop): LoopStep {
    return nextLoopStep(record, this.worldOf(record));
  }

  private async leave(record: OwnedLoop, how: 'unused' | 'forced'): Promise<void> {
    if (record.params.leaving === 'forced') return;
    await this.change(record, { leaving: how });
  }

  private async change(record: OwnedLoop, over: Partial<OwnedLoop['params']>): Promise<OwnedLoop> {
    const changed = { ...record, params: { ...record.params, ...over } };
    await this.parts.journal.putOwned(changed);
    return changed;
  }

  /** Those that leave first: they may hold the node. */
  private async advanceAll(volume: string, operation: string): Promise<void> {
    const { journal } = this.parts;
    const names = (): readonly OwnedLoop[] =>
      [...this.livesOf(volume)].toSorted(
        (one, other) => Number(one.params.leaving === null) - Number(other.params.leaving === null),
      );
    for (let round = 0; round < 2; round += 1) {
      for (const { name } of names()) {
        for (let steps = 0; steps < MAX_STEPS; steps += 1) {
          const record = journal.owned('loop', name);
          if (record === undefined || (await this.take(record, operation)) === 'stop') break;
        }
      }
    }
  }

  private async take(record: OwnedLoop, operation: string): Promise<'go-on' | 'stop'> {
    const { journal, loops, nodes, processes, log } = this.parts;
    const world = this.worldOf(record);
    const step = nextLoopStep(record, world);
    const { folder, node, sectorSizeBytes, process, pointedAt } = record.params;
    const loop = loopOf(record, world.loops);
    switch (step) {
      case 'settled':
      case 'in-use':
        return 'stop';
      case 'serve':
        return this.serve(record);
      case 'await-mount':
        await this.awaitMount(record);
        return 'go-on';
      case 'bind':
        await loops.bind(servedFile(folder), sectorSizeBytes, operation);
        return 'go-on';
      case 'point-node': {
        const device = loop?.device ?? '';
        await this.change(record, { pointedAt: device });
        nodes.point(node, device);
        return 'go-on';
      }
      case 'replace':
        log.warn('device is dead: its server has ended', {
          volume: record.volume,
          device: loop?.device,
        });
        await this.replace(record);
        return 'stop';
      case 'unpoint-node':
        if (pointedAt !== null) nodes.remove(node, pointedAt);
        await this.change(record, { pointedAt: null });
        return 'go-on';
      case 'unbind':
        await loops.unbind(loop?.device ?? '', operation);
        return 'go-on';
      case 'cut-off':
        if (process !== null) await processes.kill(process, STOP_DEADLINE_MS);
        return 'go-on';
      case 'unmount':
        await loops.unmount(folder, operation);
        return 'go-on';
      case 'end-serving':
        if (process !== null) await processes.stop(process, STOP_DEADLINE_MS);
        return 'go-on';
      case 'forget':
        await loops.removeFolder(folder);
        await journal.dropOwned('loop', record.name);
        return 'stop';
    }
  }

  private async serve(record: OwnedLoop): Promise<'go-on' | 'stop'> {
    const { loops, processes, nbdfuse, dataDir } = this.parts;
    const { folder, socketPath } = record.params;
    const server = this.server(record.volume);
    if (server === undefined) return 'stop';
    // A start whose pid never got on record.
    const stray = processes.findByArgument(folder);
    if (stray !== undefined) await processes.kill(stray, STOP_DEADLINE_MS);
    if (loops.isMounted(folder)) return 'go-on';
    await loops.makeFolder(folder);
    await this.change(record, { process: null, server });
    const uri = `nbd+unix:///?socket=${encodeURI(socketPath)}`;
    const logPath = join(dataDir, 'logs', `nbdfuse-${record.volume}.log`);
    const process = await processes.startDetached(nbdfuse, [folder, uri], logPath);
    await this.change(record, { process, server });
    return 'go-on';
  }

  private async awaitMount(record: OwnedLoop): Promise<void> {
    const { loops, processes, clock } = this.parts;
    const { folder, process } = record.params;
    const deadlineMs = clock.monotonicMs() + MOUNT_DEADLINE_MS;
    while (!loops.isMounted(folder)) {
      if (process === null || !processes.isAlive(process)) {
        throw lariatError(
          'DEVICE_NOT_MADE',
          `nbdfuse of volume ${record.volume} ended at once; see logs/nbdfuse-${record.volume}.log in the data folder`,
        );
      }
      if (clock.monotonicMs() > deadlineMs) {
        await processes.kill(process, STOP_DEADLINE_MS);
        throw lariatError(
          'DEVICE_NOT_MADE',
          `nbdfuse of volume ${record.volume} serves nothing after ${MOUNT_DEADLINE_MS} ms; it is started again`,
        );
      }
      await delay(MOUNT_POLL_MS);
    }
  }

  /** In this order: a crash between the two leaves one too many, and not none. */
  private async replace(record: OwnedLoop): Promise<void> {
    const { journal } = this.parts;
    const frontend = journal.owned('frontend', record.volume);
    if (frontend !== undefined && frontend.epoch === record.epoch) {
      await journal.putOwned(this.plan(frontend, record.params.sectorSizeBytes));
    }
    await this.leave(record, 'forced');
  }

  private async dismantle(volume: string): Promise<void> {
    const { journal, loops } = this.parts;
    for (const record of this.livesOf(volume)) {
      const loop = loopOf(record, loops.list());
      if (loop !== undefined) await loops.unbind(loop.device, BY_ITSELF);
      if (loops.isMounted(record.params.folder))
        await loops.unmount(record.params.folder, BY_ITSELF);
      if (record.params.process !== null)
        await this.parts.processes.stop(record.params.process, STOP_DEADLINE_MS);
      const { node, pointedAt } = record.params;
      if (pointedAt !== null) this.parts.nodes.remove(node, pointedAt);
      await journal.putOwned({
        ...record,
        params: { ...record.params, pointedAt: null, process: null, server: null },
      });
    }
  }
}

export function deviceBusy(volume: string, users: readonly string[]): Error {
  const told = users.length === 0 ? 'something that is about to let go of it' : users.join('; ');
  return lariatError(
    'DEVICE_BUSY',
    `volume ${volume} is in use (${told}): unmount it, or end what uses it, and detach it then`,
    { volume, users },
  );
}
