import { lariatError } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, toLariatError } from '@lariat/kernel';
import type { BlockDevice } from '@lariat/nvme-tcp';
import { throwIfCancelled } from '../../domain/cancelled.js';
import type { ByteReader, ImageSource } from '../../ports/byte-reader.port.js';
import { connectNamespace, type NamespaceOptions } from './connect-namespace.js';

/** Clusters that are read ahead: hides the way to another node. */
const READ_AHEAD = 4;

/** The content of a snapshot, which an agent exports. */
export class NamespaceSource implements ImageSource {
  constructor(
    readonly description: string,
    private readonly options: NamespaceOptions,
  ) {}

  async open(signal: AbortSignal): Promise<ByteReader> {
    throwIfCancelled(signal);
    const { description, options } = this;
    try {
      const { device, disconnect } = await connectNamespace(options);
      return new DeviceReader(description, device, disconnect, signal);
    } catch (reason) {
      throw sourceLost(description, reason);
    }
  }
}

function sourceLost(description: string, reason: unknown): Error {
  return lariatError(
    'IMAGE_SOURCE_LOST',
    `${description} can't be read over NVMe/TCP: ${toLariatError(reason).message}`,
    {},
    reason,
  );
}

export class DeviceReader implements ByteReader {
  readonly totalBytes: number;
  private readonly ahead: Promise<Buffer>[] = [];
  private askedBytes = 0;
  private cluster: Buffer = Buffer.alloc(0);

  constructor(
    private readonly description: string,
    private readonly device: Pick<BlockDevice, 'sizeBytes' | 'read'>,
    private readonly disconnect: () => Promise<void>,
    private readonly signal: AbortSignal,
  ) {
    this.totalBytes = device.sizeBytes;
  }

  async read(into: Buffer): Promise<number> {
    throwIfCancelled(this.signal);
    if (this.cluster.length === 0) {
      this.askAhead();
      this.cluster = (await this.next()) ?? this.cluster;
    }
    const length = this.cluster.copy(into);
    this.cluster = this.cluster.subarray(length);
    return length;
  }

  close(): Promise<void> {
    return this.disconnect();
  }

  private async next(): Promise<Buffer | undefined> {
    try {
      return await this.ahead.shift();
    } catch (reason) {
      throw sourceLost(this.description, reason);
    }
  }

  private askAhead(): void {
    while (this.ahead.length < READ_AHEAD && this.askedBytes < this.totalBytes) {
      const length = Math.min(CLUSTER_SIZE_BYTES, this.totalBytes - this.askedBytes);
      const read = this.device.read(this.askedBytes, length);
      // Told when its turn comes, if it does.
      read.catch(() => undefined);
      this.ahead.push(read);
      this.askedBytes += length;
    }
  }
}
