import { lariatError } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, toLariatError } from '@lariat/kernel';
import type { BlockDevice } from '@lariat/nvme-tcp';
import { throwIfCancelled } from '../../domain/cancelled.js';
import type { ClusterMap } from '../../domain/cluster-map.js';
import type { ByteReader, ImageSource, MappedContent } from '../../ports/byte-reader.port.js';
import { connectNamespace, type NamespaceOptions } from './connect-namespace.js';

/** Clusters that are read ahead: hides the way to another node. */
const READ_AHEAD = 4;

/** The content of a snapshot, which an agent exports. */
export class NamespaceSource implements ImageSource {
  constructor(
    readonly description: string,
    private readonly options: NamespaceOptions,
    private readonly map: ClusterMap | null = null,
  ) {}

  async open(signal: AbortSignal): Promise<ByteReader> {
    throwIfCancelled(signal);
    const { description, options } = this;
    try {
      const { device, disconnect } = await connectNamespace(options);
      return new DeviceReader(description, device, disconnect, signal, this.map);
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
  readonly mapped?: MappedContent;
  private readonly ahead: Promise<Buffer>[] = [];
  private nextCluster = 0;
  private cluster: Buffer = Buffer.alloc(0);

  constructor(
    private readonly description: string,
    private readonly device: Pick<BlockDevice, 'sizeBytes' | 'read'>,
    private readonly disconnect: () => Promise<void>,
    private readonly signal: AbortSignal,
    map: ClusterMap | null,
  ) {
    const { sizeBytes } = device;
    this.totalBytes = sizeBytes;
    const readCluster = (cluster: number): Promise<Buffer> => this.told(this.readAt(cluster));
    if (map !== null) this.mapped = { sizeBytes, map, readCluster };
  }

  async read(into: Buffer): Promise<number> {
    throwIfCancelled(this.signal);
    if (this.cluster.length === 0) {
      this.askAhead();
      const next = this.ahead.shift();
      if (next !== undefined) this.cluster = await this.told(next);
    }
    const length = this.cluster.copy(into);
    this.cluster = this.cluster.subarray(length);
    return length;
  }

  close(): Promise<void> {
    return this.disconnect();
  }

  private async told<T>(reading: Promise<T>): Promise<T> {
    try {
      return await reading;
    } catch (reason) {
      throw sourceLost(this.description, reason);
    }
  }

  private readAt(cluster: number): Promise<Buffer> {
    const startBytes = cluster * CLUSTER_SIZE_BYTES;
    const length = Math.min(CLUSTER_SIZE_BYTES, this.totalBytes - startBytes);
    return this.device.read(startBytes, length);
  }

  private askAhead(): void {
    while (
      this.ahead.length < READ_AHEAD &&
      this.nextCluster * CLUSTER_SIZE_BYTES < this.totalBytes
    ) {
      const read = this.readAt(this.nextCluster);
      // Told when its turn comes, if it does.
      read.catch(() => undefined);
      this.ahead.push(read);
      this.nextCluster += 1;
    }
  }
}
