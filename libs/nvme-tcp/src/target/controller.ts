import type { AsyncNotice } from '../nvme/async-event.js';
import { AsyncNotice as Notice } from '../nvme/async-event.js';
import { ControllerConfiguration, ControllerStatus } from '../nvme/controller-properties.js';
import { FABRICS_OPCODE } from '../nvme/opcodes.js';
import { readOpcode } from '../nvme/entry.js';
import { AsyncEventEnable } from '../nvme/features.js';
import type { AnaState } from '../nvme/log-page.js';
import type { AssociatedController } from '../nvme/reservation-wire.js';
import type { ReservationNotice, ReservationNotification } from '../reservation/next.js';
import { executeAdmin } from './admin-commands.js';
import { AsyncEvents } from './async-events.js';
import type { CommandOutcome, TargetCommand } from './command.js';
import type { TargetConnection } from './connection.js';
import type { Discovery } from './discovery.js';
import { executeFabrics } from './fabrics-commands.js';
import { executeIo, type IoContext } from './io-commands.js';
import { KeepAliveWatch } from './keep-alive.js';
import type { TargetNamespace } from './namespace.js';
import type { TargetLimits } from './options.js';
import { ReservationLog } from './reservation-log.js';
import type { Subsystem } from './subsystem.js';

/** A discovery controller without a keep alive timeout is dropped after two minutes of silence. */
const DISCOVERY_KEEP_ALIVE_MS = 120_000;

export interface ControllerInit {
  readonly id: number;
  readonly hostNqn: string;
  readonly hostId: Buffer;
  readonly keepAliveTimeoutMs: number;
  readonly limits: TargetLimits;
  readonly admin: TargetConnection;
  /** Undefined for a controller of the discovery subsystem. */
  readonly subsystem: Subsystem | undefined;
  readonly discovery: Discovery;
}

/** One association with a host: an admin queue and its I/O queues, each on its own connection. */
export class TargetController implements IoContext {
  readonly id: number;
  readonly hostNqn: string;
  readonly hostId: Buffer;
  /** The same as 32 hexadecimal digits. */
  readonly hostIdHex: string;
  readonly limits: TargetLimits;
  readonly admin: TargetConnection;
  readonly subsystem: Subsystem | undefined;
  readonly discovery: Discovery;
  readonly events: AsyncEvents;
  readonly keepAlive: KeepAliveWatch;
  readonly plainFeatures = new Map<number, number>();
  readonly changedNamespaces = new Set<number>();
  readonly reservationLog = new ReservationLog();
  writeCache = true;
  configuration = 0;
  statusBits = 0;
  private readonly ioQueues = new Map<number, TargetConnection>();
  /** Everything this controller ever ran commands on; what a fence waits for. */
  private readonly connections = new Set<TargetConnection>();
  private grantedQueues: number;
  private closed = false;

  constructor(init: ControllerInit) {
    this.id = init.id;
    this.hostNqn = init.hostNqn;
    this.hostId = init.hostId;
    this.hostIdHex = init.hostId.toString('hex');
    this.limits = init.limits;
    this.admin = init.admin;
    this.subsystem = init.subsystem;
    this.discovery = init.discovery;
    this.connections.add(init.admin);
    this.grantedQueues = init.limits.maxIoQueues;
    const discoveryEvents = init.keepAliveTimeoutMs > 0 ? AsyncEventEnable.discoveryLogChange : 0;
    this.events = new AsyncEvents(
      init.subsystem === undefined
        ? discoveryEvents
        : AsyncEventEnable.namespaceAttribute |
            (init.subsystem.anaReporting ? AsyncEventEnable.anaChange : 0),
    );
    const keepAliveMs =
      init.subsystem === undefined && init.keepAliveTimeoutMs === 0
        ? DISCOVERY_KEEP_ALIVE_MS
        : init.keepAliveTimeoutMs;
    this.keepAlive = new KeepAliveWatch(keepAliveMs, () => {
      this.statusBits |= ControllerStatus.fatal;
      this.close();
    });
  }

  get isDiscovery(): boolean {
    return this.subsystem === undefined;
  }

  get isClosed(): boolean {
    return this.closed;
  }

  get isEnabled(): boolean {
    return (
      (this.configuration & ControllerConfiguration.enable) !== 0 &&
      (this.statusBits & ControllerStatus.ready) !== 0
    );
  }

  get maxIoSizeBytes(): number {
    return this.limits.maxIoSizeBytes;
  }

  get ioQueueCount(): number {
    return this.ioQueues.size;
  }

  get grantedQueueCount(): number {
    return this.grantedQueues;
  }

  /** NSQA and NCQA of the Number of Queues feature, 0's based. */
  get queuesDword(): number {
    return (this.grantedQueues - 1) | ((this.grantedQueues - 1) << 16);
  }

  /** Admin queue first. */
  queues(): readonly TargetConnection[] {
    return [this.admin, ...this.ioQueues.values()];
  }

  grantQueues(requested: number): void {
    this.grantedQueues = Math.min(requested, this.limits.maxIoQueues);
  }

  hasQueue(queueId: number): boolean {
    return this.ioQueues.has(queueId);
  }

  addQueue(queueId: number, connection: TargetConnection): void {
    this.ioQueues.set(queueId, connection);
    this.connections.add(connection);
  }

  execute(connection: TargetConnection, command: TargetCommand): CommandOutcome {
    this.keepAlive.commandSeen();
    if (readOpcode(command.entry) === FABRICS_OPCODE)
      return executeFabrics(this, connection, command);
    if (connection === this.admin) return executeAdmin(this, command);
    return executeIo(this, command, connection);
  }

  namespace(nsid: number): TargetNamespace | undefined {
    return this.subsystem?.namespace(nsid);
  }

  anaState(namespace: TargetNamespace): AnaState {
    return this.admin.port.anaState(this.subsystem, namespace.anaGroupId);
  }

  notify(notice: AsyncNotice): void {
    this.events.raise(notice);
  }

  namespaceChanged(nsid: number): void {
    this.changedNamespaces.add(nsid);
    this.events.raise(Notice.namespaceAttributeChanged);
  }

  reservationChanged(nsid: number, notice: ReservationNotice): void {
    this.reservationLog.add(nsid, notice);
    this.events.raise(Notice.reservationLogAvailable);
  }

  associatedControllers(): readonly AssociatedController[] {
    return this.subsystem?.associatedControllers() ?? [];
  }

  notifyReservations(nsid: number, notifications: readonly ReservationNotification[]): void {
    this.subsystem?.notifyReservations(nsid, notifications);
  }

  async endCommandsOf(hostIds: readonly string[], nsid: number): Promise<void> {
    await this.subsystem?.endCommandsOf(hostIds, nsid);
  }

  /** Commands to the namespace that wait for their data end as aborted once it has come. */
  abortWaiting(nsid: number): void {
    for (const connection of this.connections) connection.abortWaiting(nsid);
  }

  /** Resolves when the device commands that run now have ended. */
  async begunEnded(): Promise<void> {
    await Promise.all(
      Array.from(this.connections, (connection) => connection.inFlight.begunEnded()),
    );
  }

  /** Called by a connection that has closed; the loss of the admin queue ends the association. */
  connectionClosed(connection: TargetConnection): void {
    if (connection === this.admin) {
      this.close();
      return;
    }
    for (const [queueId, queue] of this.ioQueues)
      if (queue === connection) this.ioQueues.delete(queueId);
    void connection.drained().then(() => this.connections.delete(connection));
  }

  /** CC.EN cleared or CC.SHN set: I/O queues go, and `bits` stands in CSTS once the last command has ended. */
  quiesce(clear: number, bits: number): void {
    for (const queue of this.ioQueues.values()) queue.close();
    this.ioQueues.clear();
    void this.drained().then(() => {
      this.statusBits = (this.statusBits & ~clear) | bits;
    });
  }

  /** No command begins after this; those that run are waited for by `drained`. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.keepAlive.stop();
    for (const connection of this.connections) connection.close();
    this.ioQueues.clear();
    this.subsystem?.controllerClosed(this);
    this.discovery.controllers.delete(this);
  }

  async drained(): Promise<void> {
    await Promise.all(Array.from(this.connections, (connection) => connection.drained()));
  }
}
