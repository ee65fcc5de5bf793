import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import type { RandomReader } from '../../app/content-pieces.js';
import { ClusterMap } from '../../domain/cluster-map.js';
import type { ContentSink } from '../../ports/content-sink.port.js';
import { onScratch } from './scratch-full.js';

/** A scratch file in which clusters of zeros take no space. */
export class SparseFile implements ContentSink, RandomReader {
  private constructor(
    private readonly file: FileHandle,
    private readonly folder: string,
    /** Which clusters were written. */
    readonly map: ClusterMap,
  ) {}

  /** `maxSizeBytes` bounds what may come. */
  static async create(path: string, maxSizeBytes: number): Promise<SparseFile> {
    const folder = dirname(path);
    const file = await onScratch(folder, () => open(path, 'wx+', 0o600));
    return new SparseFile(file, folder, ClusterMap.ofSize(maxSizeBytes));
  }

  /** What somebody else has written, to be read. */
  static async open(path: string): Promise<SparseFile> {
    return new SparseFile(await open(path, 'r'), dirname(path), new ClusterMap(0));
  }

  async readAt(into: Buffer, offsetBytes: number): Promise<number> {
    let filled = 0;
    while (filled < into.length) {
      const left = into.length - filled;
      const { bytesRead } = await this.file.read(into, filled, left, offsetBytes + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }

  async setSize(sizeBytes: number): Promise<void> {
    await this.file.truncate(sizeBytes);
  }

  async writeCluster(cluster: number, bytes: Buffer): Promise<void> {
    const offsetBytes = cluster * CLUSTER_SIZE_BYTES;
    await onScratch(this.folder, () => writeAll(this.file, bytes, bytes.length, offsetBytes));
    this.map.mark(cluster);
  }

  async finish(): Promise<void> {
    // Nothing to make safe: after a crash the import begins anew.
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

/** Writes the first `lengthBytes` of `bytes`, also where the system takes them in parts. */
export async function writeAll(
  file: FileHandle,
  bytes: Buffer,
  lengthBytes: number,
  offsetBytes: number,
): Promise<void> {
  for (let done = 0; done < lengthBytes;) {
    const left = lengthBytes - done;
    const { bytesWritten } = await file.write(bytes, done, left, offsetBytes + done);
    done += bytesWritten;
  }
}
