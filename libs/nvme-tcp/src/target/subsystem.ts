import { AsyncNotice } from '../nvme/async-event.js';
import { type AnaGroup, type AnaState, AnaState as State } from '../nvme/log-page.js';
import { isValidNqn } from '../nvme/nqn.js';
import type { AssociatedController } from '../nvme/reservation-wire.js';
import type { ReservationNotification } from '../reservation/next.js';
import type { TargetController } from './controller.js';
import type { Discovery } from './discovery.js';
import type { ListenAddress, ListenPort } from './listen-port.js';
import { TargetNamespace } from './namespace.js';
import type { TargetLimits } from './options.js';
import type { PortTable } from './port-table.js';
import { CNTLID_MAX, checkNamespace, checkSubsystem, refuse } from './subsystem-rules.js';
import type {
  ControllerInfo,
  ListenerInfo,
  NamespaceOptions,
  SubsystemOptions,
} from './subsystem-types.js';

/** A subsystem: what its hosts see, who they may be, and where it listens. */
export class Subsystem {
  readonly nqn: string;
  readonly serial: string;
  readonly model: string;
  readonly minCntlid: number;
  readonly maxCntlid: number;
  readonly anaReporting: boolean;
  private readonly limits: TargetLimits;
  private readonly portTable: PortTable;
  private readonly discovery: Discovery;
  private readonly hosts = new Set<string>();
  private readonly byNsid = new Map<number, TargetNamespace>();
  private readonly listeners = new Set<ListenPort>();
  private readonly controllersById = new Map<number, TargetController>();
  /** Controllers that are gone, but may still have device commands running. */
  private readonly draining = new Map<TargetController, Promise<void>>();
  private anyHost: boolean;
  private anaChanges = 0;
  private lastCntlid: number;
  private removed = false;

  constructor(
    options: SubsystemOptions,
    limits: TargetLimits,
    portTable: PortTable,
    discovery: Discovery,
  ) {
    this.nqn = options.nqn;
    this.serial = options.serial ?? '00000000000000000000';
    this.model = options.model ?? 'Lariat bdev Controller';
    this.minCntlid = options.minCntlid ?? 1;
    this.maxCntlid = options.maxCntlid ?? CNTLID_MAX;
    this.anaReporting = options.anaReporting ?? false;
    this.anyHost = options.allowAnyHost ?? false;
    this.limits = limits;
    this.portTable = portTable;
    this.discovery = discovery;
    this.lastCntlid = this.maxCntlid;
    checkSubsystem(this);
  }

  get allowAnyHost(): boolean {
    return this.anyHost;
  }

  get isRemoved(): boolean {
    return this.removed;
  }

  get anaChangeCount(): number {
    return this.anaChanges;
  }

  /** Hosts that are not on the list are disconnected when `allow` is false, as by removeHost. */
  async setAllowAnyHost(allow: boolean): Promise<void> {
    this.anyHost = allow;
    this.discovery.changed();
    if (!allow) await this.disconnect((controller) => !this.hosts.has(controller.hostNqn));
  }

  allowedHosts(): readonly string[] {
    return [...this.hosts];
  }

  allowsHost(hostNqn: string): boolean {
    return !this.removed && (this.anyHost || this.hosts.has(hostNqn));
  }

  addHost(hostNqn: string): void {
    if (!isValidNqn(hostNqn))
      throw refuse('invalid', 'NVMF_NQN_INVALID', `host '${hostNqn}' is not an NQN`);
    if (this.hosts.has(hostNqn)) {
      throw refuse(
        'conflict',
        'NVMF_HOST_EXISTS',
        `host ${hostNqn} is on the list of ${this.nqn} already`,
      );
    }
    this.hosts.add(hostNqn);
    this.discovery.changed();
  }

  /**
   * Fences a host: takes it off the list and disconnects it. When this resolves, no command of that host runs
   * or will run, whether or not its host has noticed; a host that allowAnyHost admits can connect anew.
   */
  async removeHost(hostNqn: string): Promise<void> {
    if (!this.hosts.delete(hostNqn) && !this.anyHost) {
      throw refuse(
        'not_found',
        'NVMF_HOST_UNKNOWN',
        `host ${hostNqn} is not on the list of ${this.nqn}`,
      );
    }
    this.discovery.changed();
    await this.disconnect((controller) => controller.hostNqn === hostNqn);
  }

  namespaces(): readonly TargetNamespace[] {
    return [...this.byNsid.values()].toSorted((a, b) => a.nsid - b.nsid);
  }

  namespace(nsid: number): TargetNamespace | undefined {
    return this.byNsid.get(nsid);
  }

  /** Returns the namespace id. Hosts are told by an asynchronous event. */
  addNamespace(options: NamespaceOptions): number {
    const nsid = options.nsid ?? this.freeNsid();
    const { maxNamespaces } = this.limits;
    if (!Number.isInteger(nsid) || nsid < 1 || nsid > maxNamespaces) {
      throw refuse(
        'invalid',
        'NVMF_NSID_INVALID',
        `nsid ${nsid} is not within 1 to ${maxNamespaces}`,
      );
    }
    if (this.byNsid.has(nsid))
      throw refuse('conflict', 'NVMF_NSID_IN_USE', `nsid ${nsid} of ${this.nqn} is in use`);
    const checked = checkNamespace(options, options.anaGroupId ?? nsid, maxNamespaces);
    const { device, reservationStore } = options;
    this.byNsid.set(nsid, new TargetNamespace({ nsid, device, reservationStore, ...checked }));
    this.namespaceChanged(nsid);
    return nsid;
  }

  /** When this resolves, no command to the namespace runs any more. */
  async removeNamespace(nsid: number): Promise<void> {
    const namespace = this.requireNamespace(nsid);
    this.byNsid.delete(nsid);
    this.namespaceChanged(nsid);
    await Promise.all([namespace.inFlight.drained(), namespace.reservations.settled()]);
  }

  /** To be called after a namespace's device has changed its size. */
  namespaceResized(nsid: number): void {
    this.requireNamespace(nsid);
    this.namespaceChanged(nsid);
  }

  ports(): readonly ListenPort[] {
    return [...this.listeners];
  }

  listenerInfo(): readonly ListenerInfo[] {
    return this.ports().map((port) => ({ address: port.address, anaGroups: this.anaGroups(port) }));
  }

  /** Returns the address with the port that was picked. Starts the TCP server when there is none there yet. */
  async addListener(address: ListenAddress): Promise<ListenAddress> {
    const port = await this.portTable.acquire(address, (at) => {
      if (at.has(this)) {
        throw refuse(
          'conflict',
          'NVMF_LISTENER_EXISTS',
          `${this.nqn} listens on ${address.traddr}:${address.trsvcid} already`,
        );
      }
      if (!this.removed) at.add(this);
    });
    if (this.removed) {
      await this.portTable.release(port);
      throw refuse('not_found', 'NVMF_SUBSYSTEM_UNKNOWN', `${this.nqn} was removed meanwhile`);
    }
    this.listeners.add(port);
    this.discovery.changed();
    return port.address;
  }

  /** Disconnects the hosts that came through it, as removeHost does. */
  async removeListener(address: ListenAddress): Promise<void> {
    const port = this.requirePort(address);
    this.listeners.delete(port);
    port.remove(this);
    this.discovery.changed();
    await this.disconnect((controller) => controller.admin.port === port);
    await this.portTable.release(port);
  }

  /** Sets the state of one ANA group, or of all, as seen through a listener; hosts are told by an event. */
  setAnaState(address: ListenAddress, state: AnaState, anaGroupId?: number): void {
    if (!this.anaReporting) {
      throw refuse(
        'precondition',
        'NVMF_ANA_DISABLED',
        `${this.nqn} was made without ANA reporting`,
      );
    }
    const port = this.requirePort(address);
    port.setAnaState(this, state, anaGroupId);
    this.anaChanges += 1;
    for (const controller of this.controllersById.values()) {
      if (controller.admin.port === port) controller.notify(AsyncNotice.anaChanged);
    }
  }

  /** Groups that have namespaces, as seen through `port`. */
  anaGroups(port: ListenPort): readonly AnaGroup[] {
    const nsids = new Map<number, number[]>();
    for (const namespace of this.namespaces()) {
      nsids.set(namespace.anaGroupId, [...(nsids.get(namespace.anaGroupId) ?? []), namespace.nsid]);
    }
    return Array.from(nsids, ([id, members]) => ({
      id,
      state: this.anaReporting ? port.anaState(this, id) : State.optimized,
      nsids: members,
    })).toSorted((a, b) => a.id - b.id);
  }

  controllers(): readonly ControllerInfo[] {
    return Array.from(this.controllersById.values(), (controller) => ({
      cntlid: controller.id,
      hostNqn: controller.hostNqn,
      hostId: controller.hostId.toString('hex'),
      ioQueueCount: controller.ioQueueCount,
      queues: controller.queues().map((queue) => queue.info()),
    }));
  }

  /** Every connected controller with the id of its host. */
  associatedControllers(): readonly AssociatedController[] {
    return Array.from(this.controllersById.values(), ({ id, hostIdHex }) => ({
      cntlid: id,
      hostId: hostIdHex,
    }));
  }

  /** For the namespace's reservations: puts notifications into the logs of their hosts' controllers. */
  notifyReservations(nsid: number, notifications: readonly ReservationNotification[]): void {
    const mask = this.byNsid.get(nsid)?.reservations.notificationMask ?? 0;
    for (const { hostId, notice } of notifications) {
      if ((mask & (1 << notice)) !== 0) continue;
      for (const controller of this.controllersById.values())
        if (controller.hostIdHex === hostId) controller.reservationChanged(nsid, notice);
    }
  }

  /**
   * Preempt and abort: commands of these hosts whose data is still on its way end as aborted, and this resolves
   * when those that the device has begun, also over connections that are lost by now, have ended.
   */
  async endCommandsOf(hostIds: readonly string[], nsid: number): Promise<void> {
    const wanted = new Set(hostIds);
    const live = [...this.controllersById.values()].filter((each) => wanted.has(each.hostIdHex));
    const lost = [...this.draining].filter(([each]) => wanted.has(each.hostIdHex));
    for (const controller of live) controller.abortWaiting(nsid);
    await Promise.all([
      ...live.map((controller) => controller.begunEnded()),
      ...lost.map(([controller]) => controller.begunEnded()),
    ]);
  }

  controller(cntlid: number): TargetController | undefined {
    return this.controllersById.get(cntlid);
  }

  /** A controller id that is not in use, the longest unused first; undefined when all are. */
  freeCntlid(): number | undefined {
    const count = this.maxCntlid - this.minCntlid + 1;
    for (let tried = 0; tried < count; tried += 1) {
      this.lastCntlid = this.lastCntlid >= this.maxCntlid ? this.minCntlid : this.lastCntlid + 1;
      if (!this.controllersById.has(this.lastCntlid)) return this.lastCntlid;
    }
    return undefined;
  }

  controllerConnected(controller: TargetController): void {
    this.controllersById.set(controller.id, controller);
  }

  controllerClosed(controller: TargetController): void {
    this.controllersById.delete(controller.id);
    const drained = controller.drained().then(() => {
      this.draining.delete(controller);
    });
    this.draining.set(controller, drained);
  }

  /**
   * Resolves when no command of an earlier, lost association of this host runs: else a write that was cut off
   * could land after one that the host sends on its new association.
   */
  async earlierDrained(hostNqn: string): Promise<void> {
    await this.drainedWhere((controller) => controller.hostNqn === hostNqn);
  }

  /** For the target: disconnects all hosts and stops listening. */
  async close(): Promise<void> {
    this.removed = true;
    const ports = this.ports();
    this.listeners.clear();
    for (const port of ports) port.remove(this);
    await this.disconnect(() => true);
    await Promise.all(ports.map((port) => this.portTable.release(port)));
  }

  private async disconnect(matches: (controller: TargetController) => boolean): Promise<void> {
    for (const controller of [...this.controllersById.values()])
      if (matches(controller)) controller.close();
    await this.drainedWhere(matches);
  }

  private async drainedWhere(matches: (controller: TargetController) => boolean): Promise<void> {
    const drains = [...this.draining].filter(([controller]) => matches(controller));
    await Promise.all(drains.map(([, drained]) => drained));
  }

  private namespaceChanged(nsid: number): void {
    for (const controller of this.controllersById.values()) controller.namespaceChanged(nsid);
  }

  private freeNsid(): number {
    let nsid = 1;
    while (this.byNsid.has(nsid)) nsid += 1;
    return nsid;
  }

  private requireNamespace(nsid: number): TargetNamespace {
    const namespace = this.byNsid.get(nsid);
    if (namespace !== undefined) return namespace;
    throw refuse('not_found', 'NVMF_NAMESPACE_UNKNOWN', `${this.nqn} has no namespace ${nsid}`);
  }

  private requirePort(address: ListenAddress): ListenPort {
    for (const port of this.listeners) {
      if (port.address.traddr === address.traddr && port.address.trsvcid === address.trsvcid)
        return port;
    }
    throw refuse(
      'not_found',
      'NVMF_LISTENER_UNKNOWN',
      `${this.nqn} does not listen on ${address.traddr}:${address.trsvcid}`,
    );
  }
}
