import { join } from 'node:path';
import { frontendHostNqn, lariatError, type Frontend, type NvmfEndpoint } from '@lariat/contracts';
import { backoffMs, delay, toLariatError, type Clock, type ReconcileCounts } from '@lariat/kernel';
import type { OwnedFrontend } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { LogPort } from '../ports/log.port.js';
import type { ProcessesPort } from '../ports/processes.port.js';
import type { SocketsPort } from '../ports/sockets.port.js';
import type { DeviceLives } from './device-lives.js';

export interface FrontendParts {
  readonly journal: JournalPort;
  /** Block devices that stand on these servers. */
  readonly devices: Pick<DeviceLives, 'release' | 'isBound' | 'pause'>;
  readonly processes: ProcessesPort;
  readonly sockets: SocketsPort;
  readonly clock: Clock;
  readonly counts: ReconcileCounts;
  readonly log: LogPort;
  readonly dataDir: string;
  /** Of this life of the machine. */
  readonly bootId: string;
  /** Command and leading arguments of an NBD server process. */
  readonly nbdCommand: readonly [command: string, ...args: readonly string[]];
  /** Whether the volume's device reads zeros after a discard (design section 5). */
  readonly discards: () => boolean;
  /** Called when a server's process has come or gone. */
  readonly onChange: () => void;
}

export interface Attachment {
  readonly volume: string;
  readonly epoch: number;
  readonly endpoint: NvmfEndpoint;
  readonly operation: string;
  readonly frontend: Frontend;
  /** Of a block device. */
  readonly blockSizeBytes?: number;
}

/** sun_path has 108 bytes, one of them for the NUL (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107;
const START_DEADLINE_MS = 10_000;
const STOP_DEADLINE_MS = 5_000;
const RESTART_BACKOFF = { initialMs: 100, maxMs: 5_000, factor: 2 };

/** NBD servers, one process an attachment; they outlive the agent and are adopted by its next start. */
export class Frontends {
  private readonly restarts = new Map<string, { attempt: number; notBeforeMs: number }>();
  private readonly watching = new Set<string>();
  /** When this agent started the server that runs; one that it adopted has none. */
  private readonly startedAtMs = new Map<string, number>();

  constructor(private readonly parts: FrontendParts) {}

  socketPath(volume: string): string {
    const path = join(this.parts.dataDir, 'nbd', `${volume}.sock`);
    const bytes = Buffer.byteLength(path);
    if (bytes <= MAX_SOCKET_PATH_BYTES) return path;
    throw lariatError(
      'FRONTEND_UNSUPPORTED',
      `the socket path ${path} has ${bytes} bytes; Unix sockets allow ${MAX_SOCKET_PATH_BYTES}. Use a shorter data folder`,
    );
  }

  /** Starts the server, or adopts the one that runs; returns when it accepts connections. */
  async startNbd(attachment: Attachment): Promise<string> {
    const socketPath = this.socketPath(attachment.volume);
    const record = await this.note(attachment, socketPath);
    await this.run(record);
    return `nbd+unix:///?socket=${encodeURI(socketPath)}`;
  }

  /** Records an attachment, in the place of one of another epoch; without a socket it needs no server. */
  async note(attachment: Attachment, socketPath: string | null = null): Promise<OwnedFrontend> {
    const { volume, epoch, endpoint, operation, frontend, blockSizeBytes } = attachment;
    const known = this.parts.journal.owned('frontend', volume);
    if (known !== undefined && known.epoch !== epoch) await this.stop(volume, 'forced');
    const record: OwnedFrontend = {
      kind: 'frontend',
      name: volume,
      uuid: endpoint.uuid,
      owner: volume,
      volume,
      operation,
      epoch,
      params: {
        frontend,
        endpoint,
        socketPath,
        process: known?.epoch === epoch ? known.params.process : null,
        ...(known?.epoch === epoch && known.params.bootId !== undefined
          ? { bootId: known.params.bootId }
          : {}),
        ...(blockSizeBytes === undefined ? {} : { blockSizeBytes }),
      },
    };
    await this.parts.journal.putOwned(record);
    return record;
  }

  /** `unused`: refused with DEVICE_BUSY while something on this host uses the volume's block device. */
  async stop(volume: string, how: 'unused' | 'forced'): Promise<void> {
    const { journal, processes, sockets, devices } = this.parts;
    await devices.release(volume, how);
    const record = journal.owned('frontend', volume);
    if (record === undefined) return;
    const { socketPath } = record.params;
    if (socketPath !== null) {
      const process = record.params.process ?? processes.findByArgument(socketPath);
      if (process !== undefined) await processes.stop(process, STOP_DEADLINE_MS);
      await sockets.remove(socketPath);
    }
    await journal.dropOwned('frontend', volume);
    this.parts.onChange();
    this.restarts.delete(volume);
    this.startedAtMs.delete(volume);
  }

  /** Stops every server that no device in use stands on, but keeps the records: the next start brings them back. */
  async stopProcesses(): Promise<void> {
    const { journal, processes, devices } = this.parts;
    await devices.pause();
    await Promise.all(
      journal.ownedOfKind('frontend').map(async ({ name, params }) => {
        if (params.process !== null && !devices.isBound(name))
          await processes.stop(params.process, STOP_DEADLINE_MS);
      }),
    );
  }

  /** The processes that run for attachments of this node. */
  processes(): readonly { volume: string; pid: number; startTime: number }[] {
    return this.parts.journal.ownedOfKind('frontend').flatMap(({ name, params }) => {
      const { process } = params;
      return process === null ? [] : [{ volume: name, ...process }];
    });
  }

  /**
   * Whether the server that runs now ran already at the given moment. It sends again what its engine did not answer, so
   * a write that reached some legs only reaches all in the end. What a server that died had sent is never sent again.
   * Hosts that use no server of this node send again by themselves (NVMe/TCP).
   */
  hasServedSince(volume: string, atMs: number | undefined): boolean {
    const { journal, processes } = this.parts;
    const params = journal.owned('frontend', volume)?.params;
    // What a kernel that is no more had sent is lost like that of a server.
    if (params?.bootId !== undefined && params.bootId !== this.parts.bootId) return false;
    // Never started: no host has written yet.
    if (params === undefined || params.process === null) return true;
    if (!processes.isAlive(params.process)) return false;
    const startedAtMs = this.startedAtMs.get(volume);
    return startedAtMs === undefined || (atMs !== undefined && startedAtMs < atMs);
  }

  /** Servers that are on record and do not run; the caller restarts each in its volume's lane. */
  dead(): readonly string[] {
    const { journal, processes, clock, counts } = this.parts;
    const now = clock.monotonicMs();
    const all = journal.ownedOfKind('frontend');
    counts.looked('frontends', all.length);
    return all
      .filter(({ name, params }) => {
        if (params.socketPath === null || this.watching.has(name)) return false;
        if (params.process !== null && processes.isAlive(params.process)) return false;
        return now >= (this.restarts.get(name)?.notBeforeMs ?? 0);
      })
      .map(({ name }) => name);
  }

  async revive(volume: string): Promise<void> {
    const { journal, clock, log } = this.parts;
    const record = journal.owned('frontend', volume);
    if (record === undefined || record.params.socketPath === null) return;
    this.watching.add(volume);
    this.parts.counts.repaired('frontends');
    const attempt = (this.restarts.get(volume)?.attempt ?? 0) + 1;
    this.restarts.set(volume, {
      attempt,
      notBeforeMs: clock.monotonicMs() + backoffMs(RESTART_BACKOFF, attempt),
    });
    try {
      await this.run(record);
      this.restarts.delete(volume);
      log.info('frontend restarted', { volume, epoch: record.epoch });
    } catch (reason) {
      log.warn('frontend does not start', { volume, error: toLariatError(reason).message });
    } finally {
      this.watching.delete(volume);
    }
  }

  private async run(record: OwnedFrontend): Promise<void> {
    const { journal, processes, sockets } = this.parts;
    const { socketPath, endpoint } = record.params;
    if (socketPath === null) return;
    let process = record.params.process ?? processes.findByArgument(socketPath);
    if (process === undefined || !processes.isAlive(process)) {
      await sockets.remove(socketPath);
      const [command, ...leading] = this.parts.nbdCommand;
      const options = {
        volume: record.name,
        endpoint,
        hostNqn: frontendHostNqn(record.name, record.epoch),
        discard: this.parts.discards(),
      };
      const logPath = join(this.parts.dataDir, 'logs', `nbd-${record.name}.log`);
      const args = [...leading, '--socket', socketPath, '--options', JSON.stringify(options)];
      this.startedAtMs.set(record.name, this.parts.clock.monotonicMs());
      process = await processes.startDetached(command, args, logPath);
    }
    await journal.putOwned({ ...record, params: { ...record.params, process } });
    this.parts.onChange();
    const deadline = this.parts.clock.monotonicMs() + START_DEADLINE_MS;
    while (!(await sockets.accepts(socketPath))) {
      if (!processes.isAlive(process)) {
        throw lariatError(
          'LEG_UNREACHABLE',
          `the NBD server of volume ${record.name} ended at once; see logs/nbd-${record.name}.log in the data folder`,
        );
      }
      if (this.parts.clock.monotonicMs() > deadline) {
        throw lariatError(
          'LEG_UNREACHABLE',
          `the NBD server of volume ${record.name} does not listen after ${START_DEADLINE_MS} ms; can it reach ${endpoint.traddr}:${endpoint.trsvcid}?`,
        );
      }
      await delay(5);
    }
  }
}
