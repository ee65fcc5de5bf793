import { lariatError } from '@lariat/contracts';
import { delay, type Clock } from '@lariat/kernel';
import { join } from 'node:path';
import { loopOf, nextLoopStep, servedFile, type LoopWorld } from '../domain/loop-life.js';
import type { OwnedFrontend, OwnedLoop } from '../domain/ownership.js';
import type { DeviceNodesPort } from '../ports/device-nodes.port.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { LogPort } from '../ports/log.port.js';
import type { LoopDevicesPort } from '../ports/loop-devices.port.js';
import type { ProcessesPort, ProcessIdentity } from '../ports/processes.port.js';
import { type LifeDriver, type Rest, withParams } from './device-lives.js';

export interface LoopDriverParts {
  readonly journal: JournalPort;
  readonly processes: ProcessesPort;
  readonly loops: LoopDevicesPort;
  readonly nodes: DeviceNodesPort;
  readonly clock: Clock;
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
const DEFAULT_SECTOR_BYTES = 512;

/** Loop devices on NBD servers of this node: block devices for hosts whose kernel has no NVMe/TCP. */
export class LoopDriver implements LifeDriver<OwnedLoop> {
  constructor(private readonly parts: LoopDriverParts) {}

  plan(frontend: OwnedFrontend, name: string): OwnedLoop {
    const { dataDir, deviceDir } = this.parts;
    const { name: volume, epoch, operation, params } = frontend;
    return {
      ...{ kind: 'loop', name, uuid: params.endpoint.uuid, owner: volume, volume },
      ...{ operation, epoch },
      params: {
        folder: join(dataDir, 'loop', name),
        socketPath: params.socketPath ?? '',
        sectorSizeBytes: params.blockSizeBytes ?? DEFAULT_SECTOR_BYTES,
        node: join(deviceDir, volume),
        ...{ pointedAt: null, process: null, server: null, leaving: null },
      },
    };
  }

  deviceOf(record: OwnedLoop): string | undefined {
    return loopOf(record, this.parts.loops.list())?.device;
  }

  look(): (record: OwnedLoop) => Rest {
    const devices = this.parts.loops.list();
    return (record) => {
      const step = nextLoopStep(record, this.worldOf(record, devices));
      if (step === 'settled') return 'settled';
      // The server is started again by whoever watches over it.
      const isHeldUp = step === 'serve' && this.server(record.volume) === undefined;
      return step === 'in-use' || isHeldUp ? 'waiting' : 'unsettled';
    };
  }

  async advance(record: OwnedLoop, operation: string): Promise<'go-on' | 'stop'> {
    const { journal, loops, nodes, processes, log } = this.parts;
    const world = this.worldOf(record);
    const { folder, node, sectorSizeBytes, process, pointedAt } = record.params;
    const device = loopOf(record, world.loops)?.device ?? '';
    switch (nextLoopStep(record, world)) {
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
      case 'point-node':
        await journal.putOwned(withParams(record, { pointedAt: device }));
        nodes.point(node, device);
        return 'go-on';
      case 'replace':
        log.warn('device is dead: its server has ended', { volume: record.volume, device });
        await journal.putOwned(withParams(record, { leaving: 'forced' }));
        return 'go-on';
      case 'unpoint-node':
        if (pointedAt !== null) nodes.remove(node, pointedAt);
        await journal.putOwned(withParams(record, { pointedAt: null }));
        return 'go-on';
      case 'unbind':
        await loops.unbind(device, operation);
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

  private server(volume: string): ProcessIdentity | undefined {
    const { journal, processes } = this.parts;
    const process = journal.owned('frontend', volume)?.params.process ?? undefined;
    return process !== undefined && processes.isAlive(process) ? process : undefined;
  }

  private worldOf(record: OwnedLoop, devices = this.parts.loops.list()): LoopWorld {
    const { loops, nodes, processes } = this.parts;
    const { folder, node, process, server, leaving } = record.params;
    const isRunning = process !== null && processes.isAlive(process);
    const runs = this.server(record.volume);
    const isOnServer =
      runs !== undefined && runs.pid === server?.pid && runs.startTime === server.startTime;
    return {
      loops: devices,
      isRunning,
      isServing: isRunning && isOnServer,
      isMounted: loops.isMounted(folder),
      pointsTo: leaving === null ? nodes.read(node) : null,
    };
  }

  private async serve(record: OwnedLoop): Promise<'go-on' | 'stop'> {
    const { journal, loops, processes, nbdfuse, dataDir } = this.parts;
    const { folder, socketPath } = record.params;
    const server = this.server(record.volume);
    if (server === undefined) return 'stop';
    // A start whose pid never got on record.
    const stray = processes.findByArgument(folder);
    if (stray !== undefined) await processes.kill(stray, STOP_DEADLINE_MS);
    if (loops.isMounted(folder)) return 'go-on';
    await loops.makeFolder(folder);
    await journal.putOwned(withParams(record, { process: null, server }));
    const uri = `nbd+unix:///?socket=${encodeURI(socketPath)}`;
    const logPath = join(dataDir, 'logs', `nbdfuse-${record.volume}.log`);
    const process = await processes.startDetached(nbdfuse, [folder, uri], logPath);
    await journal.putOwned(withParams(record, { process, server }));
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
}
