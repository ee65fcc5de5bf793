import { lariatError } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import type { BlockDevice } from '@lariat/nvme-tcp';
import type { ContentSink } from '../../ports/content-sink.port.js';
import { connectNamespace, type NamespaceOptions } from './connect-namespace.js';

/** Clusters on their way at a time: enough to hide the way to another node, and a small part of what memory there is. */
const IN_FLIGHT = 6;

/** Clusters after which a flush begins beside the writes, so that the one at the end has little to wait for. */
const FLUSH_EVERY = 64;

/** Writes an image to a namespace that an agent exports, over NVMe/TCP. */
export class NvmeContentSink implements ContentSink {
  private underWay = 0;
  private readonly waiting: (() => void)[] = [];
  private unflushed = 0;
  /** Of the flush that goes on beside the writes; undefined: none does. */
  private flushing: Promise<void> | undefined;
  private flushFailure: { readonly reason: unknown } | undefined;

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
      this.unflushed += 1;
      if (this.unflushed >= FLUSH_EVERY) this.flushing ??= this.flushBeside();
    } finally {
      this.underWay -= 1;
      this.waiting.shift()?.();
    }
  }

  async finish(): Promise<void> {
    await this.flushing;
    // A disk tells once of what it could not keep: a later flush would find nothing amiss.
    if (this.flushFailure !== undefined) throw this.flushFailure.reason;
    await this.device.flush();
  }

  close(): Promise<void> {
    return this.disconnect();
  }

  private async flushBeside(): Promise<void> {
    this.unflushed = 0;
    try {
      await this.device.flush();
    } catch (reason) {
      this.flushFailure ??= { reason };
    } finally {
      this.flushing = undefined;
    }
  }
}
