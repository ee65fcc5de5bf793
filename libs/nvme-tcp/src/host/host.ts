import { NvmeTcpController } from './controller.js';
import type { NvmeTcpHostOptions } from './host-options.js';

/** The NVMe/TCP host: connects to controllers of remote subsystems. */
export const NvmeTcpHost = Object.freeze({
  /** Rejects with a LariatError that says why the first connect failed. */
  connect: (options: NvmeTcpHostOptions): Promise<NvmeTcpController> =>
    NvmeTcpController.connect(options),
});
