import type { NvmeTcpHostOptions } from '@lariat/nvme-tcp';
import { parseAdrfam } from '../nvmf/transport-address.js';
import {
  bool,
  decodeObject,
  int32,
  oneOf,
  opt,
  str,
  uint,
  uint16,
  uint32,
  unsupported,
} from '../rpc/decode.js';
import { method, type MethodTable } from '../rpc/method.js';
import { RpcError } from '../rpc/rpc-error.js';
import type { Loose, NvmeModule } from './nvme-module.js';
import type { PathLossTimes } from './nvme-options.js';

const lossTimesSpec = {
  ctrlr_loss_timeout_sec: opt(int32),
  reconnect_delay_sec: opt(uint32),
  fast_io_fail_timeout_sec: opt(uint32),
};

/** Options that mean something to a TCP host in one thread, and those that are taken and have no effect. */
const setOptionsSpec = {
  ...lossTimesSpec,
  keep_alive_timeout_ms: opt(uint32),
  tcp_connect_timeout_ms: opt(uint32),
  action_on_timeout: opt(oneOf('none', 'reset', 'abort')),
  timeout_us: opt(uint),
  timeout_admin_us: opt(uint),
  transport_retry_count: opt(uint32),
  bdev_retry_count: opt(int32),
  transport_ack_timeout: opt(uint32),
  arbitration_burst: opt(uint32),
  low_priority_weight: opt(uint32),
  medium_priority_weight: opt(uint32),
  high_priority_weight: opt(uint32),
  nvme_adminq_poll_period_us: opt(uint),
  nvme_ioq_poll_period_us: opt(uint),
  io_queue_requests: opt(uint32),
  delay_cmd_submit: opt(bool),
  disable_auto_failback: opt(bool),
  generate_uuids: opt(bool),
  transport_tos: opt(uint32),
  nvme_error_stat: opt(bool),
  io_path_stat: opt(bool),
  allow_accel_sequence: opt(bool),
  enable_flush: opt(bool),
  rdma_srq_size: opt(uint32),
  rdma_max_cq_size: opt(uint32),
  rdma_cm_event_timeout_ms: opt(uint16),
  rdma_umr_per_io: opt(bool),
  dhchap_digests: unsupported('dhchap_digests'),
  dhchap_dhgroups: unsupported('dhchap_dhgroups'),
  multipath_opts: unsupported('multipath_opts'),
};

const attachSpec = {
  ...lossTimesSpec,
  name: str,
  trtype: str,
  traddr: str,
  adrfam: opt(str),
  trsvcid: opt(str),
  priority: opt(str),
  subnqn: opt(str),
  hostnqn: opt(str),
  hostaddr: opt(str),
  hostsvcid: opt(str),
  hdgst: opt(bool),
  ddgst: opt(bool),
  fabrics_connect_timeout_us: opt(uint),
  multipath: opt(oneOf('disable', 'failover', 'multipath')),
  num_io_queues: opt(uint32),
  max_bdevs: opt(uint32),
  prchk_reftag: opt(bool),
  prchk_guard: opt(bool),
  allow_unrecognized_csi: opt(bool),
  psk: unsupported('psk'),
  dhchap_key: unsupported('dhchap_key'),
  dhchap_ctrlr_key: unsupported('dhchap_ctrlr_key'),
  multipath_opts: unsupported('multipath_opts'),
};

const pathSpec = {
  name: str,
  trtype: opt(str),
  traddr: opt(str),
  adrfam: opt(str),
  trsvcid: opt(str),
  subnqn: opt(str),
  hostaddr: opt(str),
  hostsvcid: opt(str),
};

/** The methods of module/bdev/nvme/bdev_nvme_rpc.c. */
export function nvmeMethods(module: NvmeModule): MethodTable {
  return {
    bdev_nvme_set_options: method(decodeObject(setOptionsSpec), (params) => {
      module.setOptions({
        ...lossTimes(params),
        keepAliveTimeoutMs: params.keep_alive_timeout_ms,
        tcpConnectTimeoutMs: params.tcp_connect_timeout_ms,
      });
      return true;
    }),
    bdev_nvme_attach_controller: method(decodeObject(attachSpec), (params) => {
      if (params.max_bdevs === 0) throw RpcError.errno('EINVAL', 'max_bdevs cannot be zero');
      checkAddress(params.trtype, params.adrfam);
      if (params.num_io_queues === 0 || (params.num_io_queues ?? 1) > 65_536) {
        throw RpcError.errno('EINVAL', 'num_io_queues out of bounds, min: 1 max: 65536');
      }
      if (params.prchk_guard === true || params.prchk_reftag === true)
        throw RpcError.errno('ENOTSUP');
      const connectTimeoutUs = params.fabrics_connect_timeout_us;
      return module.attach({
        name: params.name,
        traddr: params.traddr,
        trsvcid: params.trsvcid ?? '',
        subnqn: params.subnqn ?? '',
        hostnqn: params.hostnqn,
        headerDigest: params.hdgst ?? false,
        dataDigest: params.ddgst ?? false,
        multipath: params.multipath ?? 'multipath',
        numIoQueues: params.num_io_queues,
        connectTimeoutMs:
          connectTimeoutUs === undefined ? undefined : Math.ceil(connectTimeoutUs / 1000),
        times: lossTimes(params),
      });
    }),
    bdev_nvme_detach_controller: method(decodeObject(pathSpec), async ({ name, ...path }) => {
      if (path.trtype !== undefined) checkAddress(path.trtype, path.adrfam);
      await module.detach(name, (options) => onPath(options, path));
      return true;
    }),
    bdev_nvme_get_controllers: method(decodeObject({ name: opt(str) }), ({ name }) => {
      return module.describe(name);
    }),
    bdev_nvme_reset_controller: method(
      decodeObject({ name: str, cntlid: opt(uint16) }),
      async ({ name }) => {
        await module.reset(name);
        return true;
      },
    ),
  };
}

function lossTimes(params: {
  readonly ctrlr_loss_timeout_sec: number | undefined;
  readonly reconnect_delay_sec: number | undefined;
  readonly fast_io_fail_timeout_sec: number | undefined;
}): Loose<PathLossTimes> {
  return {
    ctrlrLossTimeoutSeconds: params.ctrlr_loss_timeout_sec,
    reconnectDelaySeconds: params.reconnect_delay_sec,
    fastIoFailTimeoutSeconds: params.fast_io_fail_timeout_sec,
  };
}

function checkAddress(trtype: string, adrfam: string | undefined): void {
  if (trtype.toUpperCase() !== 'TCP')
    throw RpcError.errno('EINVAL', `Failed to parse trtype: ${trtype}`);
  if (adrfam !== undefined && parseAdrfam(adrfam) === undefined) {
    throw RpcError.errno('EINVAL', `Failed to parse adrfam: ${adrfam}`);
  }
}

/** What is not given fits any path. */
function onPath(
  options: NvmeTcpHostOptions,
  path: {
    readonly traddr: string | undefined;
    readonly trsvcid: string | undefined;
    readonly subnqn: string | undefined;
  },
): boolean {
  return (
    (path.traddr ?? options.traddr) === options.traddr &&
    (path.trsvcid ?? options.trsvcid) === options.trsvcid &&
    (path.subnqn ?? options.subnqn) === options.subnqn
  );
}
