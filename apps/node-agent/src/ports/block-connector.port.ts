import type { NvmfEndpoint } from '@lariat/contracts';
import type { BlockDevice } from '@lariat/nvme-tcp';

export interface ConnectedDevice extends BlockDevice {
  /** Looks at the size anew: the event of a change that was made just now may still be on its way. */
  refresh(): Promise<void>;
  close(): Promise<void>;
}

export interface ConnectOptions {
  readonly endpoint: NvmfEndpoint;
  readonly hostNqn: string;
  /** How long a lost path may take before I/O fails. */
  readonly ctrlrLossTimeoutMs: number;
}

/** NVMe/TCP hosts inside this process. */
export interface BlockConnectorPort {
  connect(options: ConnectOptions): Promise<ConnectedDevice>;
}
