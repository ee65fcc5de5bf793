import { randomUUID } from 'node:crypto';
import { KeyedQueue, LariatError } from '@lariat/kernel';
import type { NvmeTcpHostOptions } from '@lariat/nvme-tcp';
import type { Log } from '../app/log.js';
import type { TargetBdevs } from '../bdev/registry.js';
import type { JsonObject, MethodCall } from '../rpc/method.js';
import { type Errno, RpcError } from '../rpc/rpc-error.js';
import { AttachedController, type PathMatch } from './attached-controller.js';
import {
  DEFAULT_NVME_OPTIONS,
  lossTimesAgree,
  type NvmeModuleOptions,
  type PathLossTimes,
} from './nvme-options.js';

/** Options of which each may be left out or undefined. */
export type Loose<T> = { readonly [K in keyof T]?: T[K] | undefined };

export type MultipathMode = 'disable' | 'failover' | 'multipath';

export interface AttachParams {
  readonly name: string;
  readonly traddr: string;
  readonly trsvcid: string;
  readonly subnqn: string;
  readonly hostnqn: string | undefined;
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  readonly multipath: MultipathMode;
  readonly numIoQueues: number | undefined;
  readonly connectTimeoutMs: number | undefined;
  readonly times: Loose<PathLossTimes>;
}

/** SPDK_CONTROLLER_NAME_MAX less its final zero (module/bdev/nvme/bdev_nvme.c). */
const MAX_NAME_LENGTH = 511;
/** One thread serves all queues; more of them only add depth. */
const MAX_IO_QUEUES = 8;

/** NVMe/TCP hosts of this target: the bdev_nvme module, with one path in use a controller. */
export class NvmeModule {
  private readonly controllers = new Map<string, AttachedController>();
  /** Attach and detach of one name follow one another. */
  private readonly changes = new KeyedQueue();
  private readonly defaultHostNqn = `nqn.2014-08.org.nvmexpress:uuid:${randomUUID()}`;
  /** Those that were attached for multipath, as is the default. */
  private readonly multipath = new WeakSet<AttachedController>();
  private options: NvmeModuleOptions = DEFAULT_NVME_OPTIONS;

  constructor(
    private readonly registry: TargetBdevs,
    private readonly log: Log,
  ) {}

  setOptions(change: Loose<NvmeModuleOptions>): void {
    if (this.controllers.size > 0) {
      throw RpcError.errno('EPERM', 'RPC not permitted with nvme controllers already attached');
    }
    const options = { ...this.options, ...definedOnly<NvmeModuleOptions>(change) };
    if (!lossTimesAgree(options)) throw RpcError.errno('EINVAL');
    this.options = options;
  }

  /** Names of the bdevs that came with the controller. */
  attach(params: AttachParams): Promise<readonly string[]> {
    return this.changes.run(params.name, async () => {
      const options = this.hostOptions(params);
      this.refuseTaken(params, options);
      const known = this.controllers.get(params.name);
      if (known !== undefined) return this.addPath(known, params, options);
      const controller = await this.connect(params.name, options);
      if (controller.isDeleting) throw RpcError.errno('EIO');
      this.controllers.set(params.name, controller);
      if (params.multipath === 'multipath') this.multipath.add(controller);
      await this.registry.examined();
      return controller.bdevNames();
    });
  }

  /** Without the paths that match; without any left the controller goes. */
  detach(name: string, matches: PathMatch): Promise<void> {
    return this.changes.run(name, async () => {
      const controller = this.require(name);
      const matching = controller.allPaths.filter(matches);
      if (matching.length === 0) throw RpcError.errno('ENXIO');
      if (matching.length < controller.allPaths.length) return controller.removePaths(matches);
      this.controllers.delete(name);
      await controller.detach();
    });
  }

  reset(name: string): Promise<void> {
    return this.changes.run(name, async () => {
      const controller = this.require(name);
      try {
        await controller.reset();
      } catch (error) {
        throw this.asErrno(`cannot reset ${name}`, error);
      }
    });
  }

  describe(name: string | undefined): readonly JsonObject[] {
    const found = [...this.controllers.values()].filter(
      (each) => name === undefined || each.name === name,
    );
    if (name !== undefined && found.length === 0) {
      throw RpcError.errno('EINVAL', `Controller ${name} does not exist`);
    }
    return found.map((controller) => ({ name: controller.name, ctrlrs: [controller.describe()] }));
  }

  /** The calls that lead to its options and controllers. */
  config(): readonly MethodCall[] {
    const { options } = this;
    return [
      {
        method: 'bdev_nvme_set_options',
        params: {
          ctrlr_loss_timeout_sec: options.ctrlrLossTimeoutSeconds,
          reconnect_delay_sec: options.reconnectDelaySeconds,
          fast_io_fail_timeout_sec: options.fastIoFailTimeoutSeconds,
          keep_alive_timeout_ms: options.keepAliveTimeoutMs,
          tcp_connect_timeout_ms: options.tcpConnectTimeoutMs,
        },
      },
      ...[...this.controllers.values()].flatMap((controller) =>
        controller.attachCalls(this.multipath.has(controller) ? 'multipath' : 'failover'),
      ),
    ];
  }

  async close(): Promise<void> {
    const controllers = [...this.controllers.values()];
    this.controllers.clear();
    await Promise.all(controllers.map((controller) => controller.detach()));
  }

  /** A secondary path brings no bdevs of its own. */
  private async addPath(
    controller: AttachedController,
    { name, multipath }: AttachParams,
    options: NvmeTcpHostOptions,
  ): Promise<readonly string[]> {
    // All paths of a controller are for the same, as in spdk_bdev_nvme_create.
    const isMultipath = multipath === 'multipath';
    if (this.multipath.has(controller) !== isMultipath) throw RpcError.errno('EINVAL');
    if (isMultipath) {
      throw RpcError.errno(
        'ENOTSUP',
        `A controller named ${name} already exists; soft-target uses several paths for failover only`,
      );
    }
    const { traddr, trsvcid } = options;
    try {
      await controller.addPath({ ...controller.options, traddr, trsvcid });
    } catch (error) {
      throw this.asErrno(`cannot add a path to ${name}`, error);
    }
    return [];
  }

  private async connect(name: string, options: NvmeTcpHostOptions): Promise<AttachedController> {
    try {
      return await AttachedController.attach(name, options, {
        registry: this.registry,
        log: this.log,
        onLost: (lost) => {
          if (this.controllers.get(name) === lost) this.controllers.delete(name);
        },
      });
    } catch (error) {
      throw this.asErrno(`cannot attach ${name}`, error);
    }
  }

  private hostOptions(params: AttachParams): NvmeTcpHostOptions {
    const times = { ...this.options, ...definedOnly<PathLossTimes>(params.times) };
    const nameFits = params.name.length > 0 && params.name.length <= MAX_NAME_LENGTH;
    if (!nameFits || !lossTimesAgree(times)) throw RpcError.errno('EINVAL');
    const loss = times.ctrlrLossTimeoutSeconds;
    const connectTimeoutMs = params.connectTimeoutMs ?? this.options.tcpConnectTimeoutMs;
    return {
      traddr: params.traddr,
      trsvcid: params.trsvcid,
      subnqn: params.subnqn,
      hostnqn: params.hostnqn ?? this.defaultHostNqn,
      headerDigest: params.headerDigest,
      dataDigest: params.dataDigest,
      ioQueueCount: Math.min(params.numIoQueues ?? 1, MAX_IO_QUEUES),
      keepAliveTimeoutMs: this.options.keepAliveTimeoutMs,
      ctrlrLossTimeoutMs: loss < 0 ? -1 : loss * 1000,
      reconnectDelayMs: times.reconnectDelaySeconds * 1000,
      fastIoFailTimeoutMs: times.fastIoFailTimeoutSeconds * 1000,
      ...(connectTimeoutMs > 0 ? { connectTimeoutMs } : {}),
    };
  }

  /** The checks of rpc_bdev_nvme_attach_controller and spdk_bdev_nvme_create, in their order. */
  private refuseTaken({ name, multipath }: AttachParams, options: NvmeTcpHostOptions): void {
    const known = this.controllers.get(name)?.options;
    if (known !== undefined) {
      const exists = `A controller named ${name} already exists`;
      if (multipath === 'disable') {
        throw RpcError.errno('EALREADY', `${exists} and multipath is disabled`);
      }
      if (samePath(known, options)) {
        throw RpcError.errno('EALREADY', `${exists} with the specified network path`);
      }
      if (known.subnqn !== options.subnqn) {
        const message = `${exists}, but uses a different subnqn (${known.subnqn})`;
        throw RpcError.errno('EINVAL', message);
      }
      if (known.hostnqn !== options.hostnqn) {
        const message = `${exists}, but uses a different hostnqn (${known.hostnqn})`;
        throw RpcError.errno('EINVAL', message);
      }
    }
    const isTaken = [...this.controllers.values()]
      .flatMap(({ allPaths }) => allPaths)
      .some(
        (path) =>
          samePath(path, options) &&
          path.subnqn === options.subnqn &&
          path.hostnqn === options.hostnqn,
      );
    if (isTaken) throw RpcError.errno('EEXIST');
  }

  private require(name: string): AttachedController {
    const controller = this.controllers.get(name);
    if (controller === undefined) throw RpcError.errno('ENODEV');
    return controller;
  }

  /** SPDK answers with an errno and no reason; the log has it. */
  private asErrno(what: string, error: unknown): unknown {
    if (!(error instanceof LariatError)) return error;
    this.log.warning(what, { code: error.code, reason: error.message });
    return RpcError.errno(ERRNO_OF_KIND[error.kind]);
  }
}

const ERRNO_OF_KIND = {
  invalid: 'EINVAL',
  timeout: 'ETIMEDOUT',
  // A target that refuses the connection, for whatever reason, is an I/O error to SPDK (bdev_nvme_async_poll).
  not_found: 'EIO',
  conflict: 'EIO',
  precondition: 'EIO',
  unavailable: 'EIO',
  internal: 'EIO',
} as const satisfies Record<LariatError['kind'], Errno>;

function samePath(a: NvmeTcpHostOptions, b: NvmeTcpHostOptions): boolean {
  return a.traddr === b.traddr && a.trsvcid === b.trsvcid;
}

function definedOnly<T extends object>(change: Loose<T>): Partial<T> {
  return Object.fromEntries(
    Object.entries(change).filter(([, value]) => value !== undefined),
  ) as Partial<T>;
}
