import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import type { ContentSink, OpenSink } from '../ports/content-sink.port.js';

/** A device in memory that remembers what was done to it. */
export class MemorySink implements ContentSink {
  content: Buffer = Buffer.alloc(0);
  readonly written = new Set<number>();
  isFinished = false;
  isClosed = false;

  readonly open: OpenSink = (sizeBytes) => {
    this.content = Buffer.alloc(sizeBytes);
    return Promise.resolve(this);
  };

  async writeCluster(cluster: number, bytes: Buffer): Promise<void> {
    if (bytes.length !== CLUSTER_SIZE_BYTES) throw new Error(`a write of ${bytes.length} bytes`);
    if (this.written.has(cluster)) throw new Error(`cluster ${cluster} is written twice`);
    // The way to a device takes time, in which the bytes must stay as they are.
    await new Promise((resolve) => setImmediate(resolve));
    bytes.copy(this.content, cluster * CLUSTER_SIZE_BYTES);
    this.written.add(cluster);
  }

  finish(): Promise<void> {
    this.isFinished = true;
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}
