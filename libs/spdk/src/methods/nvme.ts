import type { CallOptions, RpcCaller } from '../json-rpc/spdk-client.js';
import { count, flag, ifDefined, list, record, text, type Parse } from '../result/fields.js';

/** A TCP address in SPDK's words: `trsvcid` is the port, as text. */
export interface TransportAddress {
  readonly trtype: string;
  readonly adrfam?: string;
  readonly traddr: string;
  readonly trsvcid?: string;
  readonly subnqn?: string;
}

export const parseTransportAddress: Parse<TransportAddress> = record((fields) => ({
  trtype: fields.required('trtype', text),
  ...ifDefined('adrfam', fields.optional('adrfam', text)),
  traddr: fields.required('traddr', text),
  ...ifDefined('trsvcid', fields.optional('trsvcid', text)),
  ...ifDefined('subnqn', fields.optional('subnqn', text)),
}));

export interface NvmePathInfo {
  /** `enabled`, `resetting`, `reconnect_is_delayed`, `failed`, `disabled` or `deleting`. */
  readonly state: string;
  readonly address: TransportAddress;
  readonly cntlid: number;
  readonly hostNqn: string;
}

/** A controller of the bdev_nvme module, with one path or more. */
export interface NvmeControllerInfo {
  readonly name: string;
  readonly paths: readonly NvmePathInfo[];
}

const parsePath: Parse<NvmePathInfo> = record((fields) => ({
  state: fields.required('state', text),
  address: fields.required('trid', parseTransportAddress),
  cntlid: fields.required('cntlid', count),
  hostNqn: fields.required(
    'host',
    record((host) => host.required('nqn', text)),
  ),
}));

export const parseNvmeController: Parse<NvmeControllerInfo> = record((fields) => ({
  name: fields.required('name', text),
  paths: fields.required('ctrlrs', list(parsePath)),
}));

/** How long a lost path may take before I/O fails and the controller goes. */
export interface PathLossTimes {
  /** The controller and its bdevs go after so long without a connection; -1 is never, 0 at once. */
  readonly ctrlrLossTimeoutSeconds?: number;
  readonly reconnectDelaySeconds?: number;
  /** I/O that waits is failed after so long. */
  readonly fastIoFailTimeoutSeconds?: number;
}

export interface NvmeOptions extends PathLossTimes {
  readonly actionOnTimeout?: 'none' | 'reset' | 'abort';
  readonly ioTimeoutUs?: number;
  readonly adminTimeoutUs?: number;
  readonly keepAliveTimeoutMs?: number;
  readonly transportAckTimeout?: number;
  readonly transportRetryCount?: number;
  readonly bdevRetryCount?: number;
  readonly tcpConnectTimeoutMs?: number;
}

export interface AttachControllerParams extends PathLossTimes {
  /** Namespaces become bdevs `<name>n<nsid>`. */
  readonly name: string;
  readonly traddr: string;
  readonly trsvcid: string;
  readonly subnqn: string;
  readonly hostnqn?: string;
  readonly trtype?: string;
  readonly adrfam?: 'ipv4' | 'ipv6';
  readonly headerDigest?: boolean;
  readonly dataDigest?: boolean;
  readonly multipath?: 'disable' | 'failover' | 'multipath';
  readonly numIoQueues?: number;
  readonly fabricsConnectTimeoutUs?: number;
}

/** NVMe-oF hosts inside the target. */
export class NvmeMethods {
  constructor(private readonly rpc: RpcCaller) {}

  /** EPERM (or EBUSY) once a controller is attached: set before. */
  async setOptions(options: NvmeOptions): Promise<void> {
    const result = await this.rpc.call('bdev_nvme_set_options', {
      ...lossParams(options),
      ...ifDefined('action_on_timeout', options.actionOnTimeout),
      ...ifDefined('timeout_us', options.ioTimeoutUs),
      ...ifDefined('timeout_admin_us', options.adminTimeoutUs),
      ...ifDefined('keep_alive_timeout_ms', options.keepAliveTimeoutMs),
      ...ifDefined('transport_ack_timeout', options.transportAckTimeout),
      ...ifDefined('transport_retry_count', options.transportRetryCount),
      ...ifDefined('bdev_retry_count', options.bdevRetryCount),
      ...ifDefined('tcp_connect_timeout_ms', options.tcpConnectTimeoutMs),
    });
    flag(result, 'bdev_nvme_set_options');
  }

  /**
   * Names of the bdevs that came with it: an empty list when a namespace's uuid is one that the target has
   * already (its own lvol, for example). SpdkError EALREADY when the same path is attached under this name.
   */
  async attachController(
    params: AttachControllerParams,
    options?: CallOptions,
  ): Promise<readonly string[]> {
    const wire = {
      name: params.name,
      trtype: params.trtype ?? 'TCP',
      adrfam: params.adrfam ?? 'ipv4',
      traddr: params.traddr,
      trsvcid: params.trsvcid,
      subnqn: params.subnqn,
      ...ifDefined('hostnqn', params.hostnqn),
      ...ifDefined('hdgst', params.headerDigest),
      ...ifDefined('ddgst', params.dataDigest),
      ...ifDefined('multipath', params.multipath),
      ...ifDefined('num_io_queues', params.numIoQueues),
      ...ifDefined('fabrics_connect_timeout_us', params.fabricsConnectTimeoutUs),
      ...lossParams(params),
    };
    const result = await this.rpc.call('bdev_nvme_attach_controller', wire, options);
    return list(text)(result, 'bdev_nvme_attach_controller');
  }

  /** SpdkError ENODEV when there is no such controller. */
  async detachController(name: string, options?: CallOptions): Promise<void> {
    flag(
      await this.rpc.call('bdev_nvme_detach_controller', { name }, options),
      'bdev_nvme_detach_controller',
    );
  }

  async getControllers(): Promise<readonly NvmeControllerInfo[]> {
    const result = await this.rpc.call('bdev_nvme_get_controllers');
    return list(parseNvmeController)(result, 'bdev_nvme_get_controllers');
  }

  async resetController(name: string): Promise<void> {
    flag(await this.rpc.call('bdev_nvme_reset_controller', { name }), 'bdev_nvme_reset_controller');
  }
}

function lossParams(times: PathLossTimes): object {
  return {
    ...ifDefined('ctrlr_loss_timeout_sec', times.ctrlrLossTimeoutSeconds),
    ...ifDefined('reconnect_delay_sec', times.reconnectDelaySeconds),
    ...ifDefined('fast_io_fail_timeout_sec', times.fastIoFailTimeoutSeconds),
  };
}
