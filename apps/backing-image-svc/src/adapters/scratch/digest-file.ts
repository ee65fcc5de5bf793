import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  DIGEST_BYTES,
  isZero,
  RootDigest,
  ZERO_CLUSTER_DIGEST,
} from '../../domain/cluster-digest.js';
import type { DigestLog } from '../../ports/digest-log.port.js';
import { onScratch } from './scratch-full.js';
import { writeAll } from './sparse-file.js';

const PAGE_BYTES = 2048 * DIGEST_BYTES;
/** Where no digest was written, the file has a hole, and the cluster is zeros. */
const HOLE = Buffer.alloc(DIGEST_BYTES);

/** The digests of an image in a file: 32 bytes a cluster, and for clusters of zeros neither memory nor disk. */
export class DigestFile implements DigestLog {
  private readonly page = Buffer.alloc(PAGE_BYTES);
  private pageBytes = 0;
  /** Where the page begins in the file. */
  private offsetBytes = 0;

  private constructor(
    private readonly file: FileHandle,
    private readonly folder: string,
  ) {}

  static async create(path: string): Promise<DigestFile> {
    const folder = dirname(path);
    return new DigestFile(await onScratch(folder, () => open(path, 'w+', 0o600)), folder);
  }

  async add(digest: Buffer): Promise<void> {
    digest.copy(this.page, this.pageBytes);
    this.pageBytes += DIGEST_BYTES;
    if (this.pageBytes === PAGE_BYTES) await this.write();
  }

  async addZeros(clusters: number): Promise<void> {
    await this.write();
    this.offsetBytes += clusters * DIGEST_BYTES;
  }

  async finish(deviceSizeBytes: number): Promise<string> {
    await this.write();
    await this.file.truncate(this.offsetBytes);
    await onScratch(this.folder, () => this.file.sync());
    return this.rootDigest(deviceSizeBytes);
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  /** Read again, as the root begins with the size, which is not known before the end. */
  private async rootDigest(deviceSizeBytes: number): Promise<string> {
    const root = new RootDigest(deviceSizeBytes);
    for (let at = 0; at < this.offsetBytes; at += PAGE_BYTES) {
      const { bytesRead } = await this.file.read(this.page, 0, PAGE_BYTES, at);
      const page = this.page.subarray(0, bytesRead);
      if (isZero(page)) root.addZeros(bytesRead / DIGEST_BYTES);
      else root.add(fillHoles(page));
    }
    return root.finish();
  }

  private async write(): Promise<void> {
    if (this.pageBytes === 0) return;
    const { file, page, pageBytes, offsetBytes } = this;
    await onScratch(this.folder, () => writeAll(file, page, pageBytes, offsetBytes));
    this.offsetBytes += this.pageBytes;
    this.pageBytes = 0;
  }
}

function fillHoles(digests: Buffer): Buffer {
  for (let at = 0; at < digests.length; at += DIGEST_BYTES)
    if (digests.compare(HOLE, 0, DIGEST_BYTES, at, at + DIGEST_BYTES) === 0)
      ZERO_CLUSTER_DIGEST.copy(digests, at);
  return digests;
}

/** Digests of `clusters` clusters from `firstCluster` on, one after the other; fewer at the end of the image. */
export async function readDigests(
  path: string,
  firstCluster: number,
  clusters: number,
): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const digests = Buffer.alloc(clusters * DIGEST_BYTES);
    const { bytesRead } = await file.read(digests, 0, digests.length, firstCluster * DIGEST_BYTES);
    return fillHoles(digests.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}
