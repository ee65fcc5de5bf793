import {
  type HostNamespace,
  type NamespaceChanges,
  NvmeTcpHost,
  type NvmeTcpController,
  type NvmeTcpHostOptions,
} from '@lariat/nvme-tcp';
import type { Log } from '../app/log.js';
import type { TargetBdevs } from '../bdev/registry.js';
import type { JsonObject, MethodCall } from '../rpc/method.js';
import { Errno, RpcError } from '../rpc/rpc-error.js';
import { findPath, type FoundPath } from './failover.js';
import { NvmeBdev } from './nvme-bdev.js';

export interface AttachedControllerDeps {
  readonly registry: TargetBdevs;
  readonly log: Log;
  /** The target was given up: the controller and its bdevs are gone. */
  readonly onLost: (controller: AttachedController) => void;
}

export type PathMatch = (path: NvmeTcpHostOptions) => boolean;

/**
 * A connected controller, and a bdev for each of its namespaces: what SPDK calls an nvme_ctrlr. It has one
 * connection, and may know other paths to the same subsystem, to which it fails over.
 */
export class AttachedController {
  private readonly bdevs = new Map<number, NvmeBdev>();
  private unsubscribe: readonly (() => void)[] = [];
  private deleting = false;
  private searching: Promise<boolean> | undefined;
  /** While this runs, I/O that the lost connection has failed waits for its outcome. */
  private lastSearch: Promise<boolean> | undefined;

  private constructor(
    readonly name: string,
    /** The one in use first, then the others in the order in which they are tried. */
    private paths: readonly [NvmeTcpHostOptions, ...NvmeTcpHostOptions[]],
    private readonly deps: AttachedControllerDeps,
    private connection: NvmeTcpController,
  ) {}

  /** Rejects with the LariatError of the host when the first connect fails. */
  static async attach(
    name: string,
    options: NvmeTcpHostOptions,
    deps: AttachedControllerDeps,
  ): Promise<AttachedController> {
    const connection = await NvmeTcpHost.connect(options);
    const controller = new AttachedController(name, [options], deps, connection);
    controller.follow(connection);
    for (const namespace of connection.namespaces()) controller.addBdev(namespace);
    return controller;
  }

  /** Of the path in use; the others differ in their addresses. */
  get options(): NvmeTcpHostOptions {
    return this.paths[0];
  }

  get allPaths(): readonly NvmeTcpHostOptions[] {
    return this.paths;
  }

  /**
   * Another way to the same namespaces, for when the connection breaks. It is tried first: one that does not
   * work, or leads elsewhere, is refused.
   */
  async addPath(options: NvmeTcpHostOptions): Promise<void> {
    const trial = await NvmeTcpHost.connect(options);
    const namespaces = new Map(trial.namespaces().map((each) => [each.nsid, each]));
    await trial.close();
    for (const [nsid, bdev] of this.bdevs) {
      const namespace = namespaces.get(nsid);
      if (namespace === undefined || !bdev.stands(namespace)) throw RpcError.errno('EINVAL');
    }
    this.paths = [...this.paths, options];
    // It may be what a search under way has been waiting for, or the first that there is.
    if (this.connection.state === 'reconnecting') this.startSearch();
  }

  /** Gives the paths that match up, of which at least one other is left; the one in use for another that works. */
  async removePaths(matches: PathMatch): Promise<void> {
    const [active, ...others] = this.paths;
    const kept = others.filter((path) => !matches(path));
    this.paths = [active, ...kept];
    if (!matches(active)) return;
    const found = await findPath({
      candidates: () => kept,
      isWanted: () => !this.deleting && this.options === active,
      pauseMs: undefined,
      onFailure: (path, error) => this.logFailure(path, error),
    });
    if (found !== undefined) this.switchTo(found);
    if (this.options === active) throw RpcError.errno('EIO');
    this.paths = [this.options, ...this.paths.slice(1).filter((path) => path !== active)];
  }

  /** True once it is being detached, or was lost. */
  get isDeleting(): boolean {
    return this.deleting;
  }

  bdevNames(): readonly string[] {
    return [...this.bdevs.values()].map((bdev) => bdev.name);
  }

  /** Users of the bdevs are told first; I/O that waits for the target fails instead of holding them up. */
  async detach(): Promise<void> {
    this.deleting = true;
    const removals = this.removeAll();
    await this.connection.close();
    await removals;
  }

  /** Connects anew, and moves the bdevs and their I/O over; when that fails, all stays as it was. */
  async reset(): Promise<void> {
    const connection = await NvmeTcpHost.connect(this.options);
    if (this.deleting) {
      await connection.close();
      throw RpcError.errno('ENODEV');
    }
    const old = this.connection;
    this.take(connection);
    await old.close();
  }

  /** Moves the bdevs and their I/O to a new connection. */
  private take(connection: NvmeTcpController): void {
    this.follow(connection);
    const namespaces = new Map(
      connection.namespaces().map((namespace) => [namespace.nsid, namespace]),
    );
    for (const [nsid, bdev] of this.bdevs) {
      const namespace = namespaces.get(nsid);
      if (namespace !== undefined && bdev.stands(namespace)) bdev.moveTo(namespace);
      else this.removeBdev(nsid);
    }
    for (const namespace of namespaces.values())
      if (!this.bdevs.has(namespace.nsid)) this.addBdev(namespace);
  }

  /** One element of `ctrlrs` in bdev_nvme_get_controllers (nvme_ctrlr_info_json in module/bdev/nvme/bdev_nvme.c). */
  describe(): JsonObject {
    return {
      state: this.state,
      trid: describeAddress(this.options),
      ...(this.paths.length > 1
        ? { alternate_trids: this.paths.slice(1).map(describeAddress) }
        : {}),
      cntlid: this.connection.controllerId,
      host: { nqn: this.options.hostnqn, addr: '', svcid: '', no_shn_notification: false },
    };
  }

  /** The calls that attach it, one for each path. */
  attachCalls(multipath: string): readonly MethodCall[] {
    return this.paths.map((path) => ({
      method: 'bdev_nvme_attach_controller',
      params: {
        name: this.name,
        ...describeAddress(path),
        hostnqn: path.hostnqn,
        hdgst: path.headerDigest ?? false,
        ddgst: path.dataDigest ?? false,
        num_io_queues: path.ioQueueCount ?? 1,
        ctrlr_loss_timeout_sec: secondsOf(path.ctrlrLossTimeoutMs),
        reconnect_delay_sec: secondsOf(path.reconnectDelayMs),
        fast_io_fail_timeout_sec: secondsOf(path.fastIoFailTimeoutMs),
        multipath,
      },
    }));
  }

  private get state(): string {
    if (this.deleting) return 'deleting';
    switch (this.connection.state) {
      case 'connected':
        return 'enabled';
      case 'reconnecting':
        return 'reconnect_is_delayed';
      case 'lost':
      case 'closed':
        return 'failed';
    }
  }

  private follow(connection: NvmeTcpController): void {
    for (const stop of this.unsubscribe) stop();
    this.connection = connection;
    const { log } = this.deps;
    const fields = { controller: this.name, subnqn: this.options.subnqn };
    this.unsubscribe = [
      connection.on('reconnecting', ({ reason }) => {
        log.warning('controller reconnecting', { ...fields, reason: reason.message });
        this.startSearch();
      }),
      connection.on('connected', () => log.notice('controller connected again', fields)),
      connection.on('namespacesChanged', (changes) => this.changed(changes)),
      connection.on('lost', ({ reason }) => {
        log.error('connection of a controller lost', { ...fields, reason: reason.message });
        void this.lost();
      }),
    ];
    // Lost between the end of the connect and now: no event will tell.
    if (connection.state === 'lost') void this.lost();
  }

  /**
   * One that is not to reconnect for any time has each of its paths tried once. When that fails it stays, failed,
   * with its bdevs, until it is reset or detached, as in SPDK. One whose time is up goes with its bdevs.
   */
  private async lost(): Promise<void> {
    if (this.options.ctrlrLossTimeoutMs === 0) {
      this.lastSearch = this.failOver(undefined);
      await this.lastSearch;
      this.lastSearch = undefined;
      return;
    }
    this.deps.onLost(this);
    await this.detach();
  }

  private startSearch(): void {
    if (this.paths.length === 1 || this.searching !== undefined || this.deleting) return;
    this.searching = this.failOver(this.options.reconnectDelayMs);
    void this.searching.finally(() => {
      this.searching = undefined;
      // The new one broke before it was followed: no event has told.
      if (this.connection.state === 'reconnecting') this.startSearch();
    });
  }

  /** True when the bdevs stand on a connection that works; the broken path is the last to be tried then. */
  private async failOver(pauseMs: number | undefined): Promise<boolean> {
    const broken = this.connection;
    const isLost = pauseMs === undefined;
    const wantedState = isLost ? 'lost' : 'reconnecting';
    const found = await findPath({
      // While it reconnects, it does so itself on the path in use.
      candidates: () => [...this.paths.slice(1), ...(isLost ? [this.options] : [])],
      isWanted: () => !this.deleting && this.connection === broken && broken.state === wantedState,
      pauseMs,
      onFailure: (path, error) => this.logFailure(path, error),
    });
    if (found === undefined) return false;
    this.switchTo(found);
    return true;
  }

  private switchTo({ path, connection }: FoundPath): void {
    const old = this.connection;
    const [active, ...others] = this.paths;
    if (path !== active) {
      this.paths = [path, ...others.filter((each) => each !== path), active];
    }
    const { traddr, trsvcid, subnqn } = path;
    this.deps.log.notice('controller connected anew', {
      controller: this.name,
      traddr,
      trsvcid,
      subnqn,
    });
    this.take(connection);
    // Its I/O comes over as it ends there; nobody waits for that.
    old.close().catch((error: unknown) => this.logFailure(active, error));
  }

  private logFailure({ traddr, trsvcid }: NvmeTcpHostOptions, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.deps.log.warning('path failed', { controller: this.name, traddr, trsvcid, reason });
  }

  private changed({ added, removed, resized }: NamespaceChanges): void {
    for (const nsid of removed) this.removeBdev(nsid);
    for (const namespace of this.connection.namespaces()) {
      if (added.includes(namespace.nsid)) this.addBdev(namespace);
    }
    for (const nsid of resized) {
      const bdev = this.bdevs.get(nsid);
      if (bdev !== undefined) this.deps.registry.resized(bdev);
    }
  }

  /** A namespace whose uuid the target has already, such as one of its own lvols, gets no bdev. */
  private addBdev(namespace: HostNamespace): void {
    if (this.deleting) return;
    const { nsid, uuid } = namespace;
    const bdev = new NvmeBdev(`${this.name}n${nsid}`, namespace, {
      describe: (id) => this.describeNamespace(id),
      otherPath: () => this.lastSearch,
    });
    try {
      this.deps.registry.register(bdev);
      this.bdevs.set(nsid, bdev);
    } catch (error) {
      if (!(error instanceof RpcError) || error.code !== -Errno.EEXIST) throw error;
      this.deps.log.warning('namespace gets no bdev: its name or uuid is taken', {
        bdev: bdev.name,
        uuid,
      });
    }
  }

  private removeBdev(nsid: number): void {
    const bdev = this.bdevs.get(nsid);
    if (bdev === undefined) return;
    this.bdevs.delete(nsid);
    void this.remove(bdev);
  }

  private async removeAll(): Promise<void> {
    const bdevs = [...this.bdevs.values()];
    this.bdevs.clear();
    await Promise.all(bdevs.map((bdev) => this.remove(bdev)));
  }

  private async remove(bdev: NvmeBdev): Promise<void> {
    await this.deps.registry.remove(bdev);
    await bdev.retire();
  }

  private describeNamespace(nsid: number): JsonObject {
    const { connection } = this;
    return {
      trid: describeAddress(this.options),
      ctrlr_data: {
        cntlid: connection.controllerId,
        model_number: connection.model,
        serial_number: connection.serial,
        firmware_revision: connection.firmware,
        subnqn: this.options.subnqn,
        oacs: { security: 0, format: 0, firmware: 0, ns_manage: 0 },
        multi_ctrlr: true,
        ana_reporting: false,
      },
      ns_data: { id: nsid, can_share: true },
    };
  }
}

function describeAddress({ traddr, trsvcid, subnqn }: NvmeTcpHostOptions): JsonObject {
  return {
    trtype: 'TCP',
    adrfam: traddr.includes(':') ? 'IPv6' : 'IPv4',
    traddr,
    trsvcid,
    subnqn,
  };
}

/** -1 stays: it is for ever. */
function secondsOf(ms = 0): number {
  return ms < 0 ? -1 : ms / 1000;
}
