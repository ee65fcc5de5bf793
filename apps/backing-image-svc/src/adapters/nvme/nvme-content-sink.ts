import type { NvmfEndpoint } from '@lariat/contracts';
import { lariatError } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import { type BlockDevice, NvmeTcpHost } from '@lariat/nvme-tcp';
import type { ContentSink } from '../../ports/content-sink.port.js';

/** Clusters on their way at a time: enough to hide the way to another node, and a small part of what memory there is. */
const IN_FLIGHT = 6;

export interface NvmeSinkOptions {
  readonly endpoint: NvmfEndpoint;
  readonly hostNqn: string;
  /** How long a lost path may take before the import fails. */
  readonly ctrlrLossTimeoutMs: number;
}

/** Writes an image to a namespace that an agent exports, over NVMe/TCP. */
export class NvmeContentSink implements ContentSink {
  private underWay = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(
    private readonly device: Pick<BlockDevice, 'write' | 'flush'>,
    private readonly disconnect: () => Promise<void>,
  ) {}

  /** Refuses a namespace that is another one, or too small. */
  static async connect(options: NvmeSinkOptions, sizeBytes: number): Promise<NvmeContentSink> {
    const { endpoint, hostNqn, ctrlrLossTimeoutMs } = options;
    const where = `${endpoint.nqn} at ${endpoint.traddr}:${endpoint.trsvcid}`;
    const controller = await NvmeTcpHost.connect({
      traddr: endpoint.traddr,
      trsvcid: endpoint.trsvcid,
      subnqn: endpoint.nqn,
      hostnqn: hostNqn,
      reconnectDelayMs: 200,
      ctrlrLossTimeoutMs,
    });
    const device = controller.namespaces().find(({ uuid }) => uuid === endpoint.uuid);
    if (device !== undefined && device.sizeBytes >= sizeBytes)
      return new NvmeContentSink(device, () => controller.close());
    await controller.close();
    throw lariatError(
      'LEG_UNREACHABLE',
      device === undefined
        ? `${where} has no namespace ${endpoint.uuid}`
        : `namespace ${endpoint.uuid} of ${where} has ${device.sizeBytes} bytes, and the image ${sizeBytes}`,
    );
  }

  async writeCluster(cluster: number, bytes: Buffer): Promise<void> {
    while (this.underWay >= IN_FLIGHT)
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    this.underWay += 1;
    try {
      await this.device.write(cluster * CLUSTER_SIZE_BYTES, bytes);
    } finally {
      this.underWay -= 1;
      this.waiting.shift()?.();
    }
  }

  async finish(): Promise<void> {
    await this.device.flush();
  }

  close(): Promise<void> {
    return this.disconnect();
  }
}
