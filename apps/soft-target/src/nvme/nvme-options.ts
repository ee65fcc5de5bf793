/** How long a controller may be without its target (module/bdev/nvme/bdev_nvme.c). */
export interface PathLossTimes {
  /** -1 tries for ever, 0 never reconnects. */
  readonly ctrlrLossTimeoutSeconds: number;
  readonly reconnectDelaySeconds: number;
  /** 0 holds I/O for as long as the controller is there. */
  readonly fastIoFailTimeoutSeconds: number;
}

/** What bdev_nvme_set_options sets for controllers attached after it. */
export interface NvmeModuleOptions extends PathLossTimes {
  readonly keepAliveTimeoutMs: number;
  /** 0 is no limit of its own. */
  readonly tcpConnectTimeoutMs: number;
}

/** SPDK's defaults (g_opts in module/bdev/nvme/bdev_nvme.c). */
export const DEFAULT_NVME_OPTIONS: NvmeModuleOptions = Object.freeze({
  ctrlrLossTimeoutSeconds: 0,
  reconnectDelaySeconds: 0,
  fastIoFailTimeoutSeconds: 0,
  keepAliveTimeoutMs: 10_000,
  tcpConnectTimeoutMs: 0,
});

/** False for times that contradict each other (bdev_nvme_check_io_error_resiliency_params). */
export function lossTimesAgree(times: PathLossTimes): boolean {
  const {
    ctrlrLossTimeoutSeconds: loss,
    reconnectDelaySeconds: delay,
    fastIoFailTimeoutSeconds: fast,
  } = times;
  if (loss < -1) return false;
  if (loss === 0) return delay === 0 && fast === 0;
  if (delay === 0) return false;
  if (fast !== 0 && fast < delay) return false;
  return loss === -1 || (delay <= loss && fast <= loss);
}
