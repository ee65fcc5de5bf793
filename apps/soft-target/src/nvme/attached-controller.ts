import {
  type HostNamespace,
  type NamespaceChanges,
  NvmeTcpHost,
  type NvmeTcpController,
  type NvmeTcpHostOptions,
} from '@lariat/nvme-tcp';
import type { Log } from '../app/log.js';
import type { TargetBdevs } from '../bdev/registry.js';
import type { JsonObject } from '../rpc/method.js';
import { Errno, RpcError } from '../rpc/rpc-error.js';
import { NvmeBdev } from './nvme-bdev.js';

export interface AttachedControllerDeps {
  readonly registry: TargetBdevs;
  readonly log: Log;
  /** The target was given up: the controller and its bdevs are gone. */
  readonly onLost: (controller: AttachedController) => void;
}

/** A connected controller, and a bdev for each of its namespaces: what SPDK calls an nvme_ctrlr. */
export class AttachedController {
  private readonly bdevs = new Map<number, NvmeBdev>();
  private unsubscribe: readonly (() => void)[] = [];
  private deleting = false;

  private constructor(
    readonly name: string,
    readonly options: NvmeTcpHostOptions,
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
    const controller = new AttachedController(name, options, deps, connection);
    controller.follow(connection);
    for (const namespace of connection.namespaces()) controller.addBdev(namespace);
    return controller;
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
    const old = this.connection;
    const connection = await NvmeTcpHost.connect(this.options);
    if (this.deleting) {
      await connection.close();
      throw RpcError.errno('ENODEV');
    }
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
    await old.close();
  }

  /** One element of `ctrlrs` in bdev_nvme_get_controllers (nvme_ctrlr_info_json in module/bdev/nvme/bdev_nvme.c). */
  describe(): JsonObject {
    return {
      state: this.state,
      trid: this.describeAddress(),
      cntlid: this.connection.controllerId,
      host: { nqn: this.options.hostnqn, addr: '', svcid: '', no_shn_notification: false },
    };
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
      connection.on('reconnecting', ({ reason }) =>
        log.warning('controller reconnecting', { ...fields, reason: reason.message }),
      ),
      connection.on('connected', () => log.notice('controller connected again', fields)),
      connection.on('namespacesChanged', (changes) => this.changed(changes)),
      connection.on('lost', ({ reason }) => {
        log.error('controller lost', { ...fields, reason: reason.message });
        this.deps.onLost(this);
        void this.detach();
      }),
    ];
    // Lost between the end of the connect and now: no event will tell.
    if (connection.state === 'lost') {
      this.deps.onLost(this);
      void this.detach();
    }
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
    const bdev = new NvmeBdev(`${this.name}n${nsid}`, namespace, (id) =>
      this.describeNamespace(id),
    );
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

  private describeAddress(): JsonObject {
    const { traddr, trsvcid, subnqn } = this.options;
    return {
      trtype: 'TCP',
      adrfam: traddr.includes(':') ? 'IPv6' : 'IPv4',
      traddr,
      trsvcid,
      subnqn,
    };
  }

  private describeNamespace(nsid: number): JsonObject {
    const { connection } = this;
    return {
      trid: this.describeAddress(),
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
