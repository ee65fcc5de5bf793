import { lariatError } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import type { BlockDevice } from '@lariat/nvme-tcp';
import type { ContentSink } from '../../ports/content-sink.port.js';
import { connectNamespace, type NamespaceOptions } from './connect-namespace.js';

/** Clusters on their way at a time: enough to hide the way to another node, and a small part of what memory there is. */
const IN_FLIGHT = 6;

/** Writes an image to a namespace that an agent exports, over NVMe/TCP. */
export class NvmeContentSink implements ContentSink {
  private underWay = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(
    private readonly device: Pick<BlockDevice, 'write' | 'flush'>,
    private readonly disconnect: () => Promise<void>,
  ) {}

  /** Refuses a namespace that is another one, or too small. */
  static async connect(options: NamespaceOptions, sizeBytes: number): Promise<NvmeContentSink> {
    const { device, disconnect } = await connectNamespace(options);
    if (device.sizeBytes >= sizeBytes) return new NvmeContentSink(device, disconnect);
    await disconnect();
    throw lariatError(
      'LEG_UNREACHABLE',
      `namespace ${device.uuid} has ${device.sizeBytes} bytes, and the image ${sizeBytes}`,
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
