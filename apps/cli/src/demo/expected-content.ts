import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, type FileHandle, open } from 'node:fs/promises';

/**
 * What the volume must hold: a sparse file to which every acknowledged write is applied too. What was never
 * written reads as zero in both.
 */
export class ExpectedContent {
  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
  ) {}

  static async create(path: string, sizeBytes: number): Promise<ExpectedContent> {
    const file = await open(path, 'w+');
    await file.truncate(sizeBytes);
    return new ExpectedContent(path, file);
  }

  async apply(offsetBytes: number, data: Buffer): Promise<void> {
    await this.file.write(data, 0, data.length, offsetBytes);
  }

  /** Keeps the content of now, as a snapshot of the volume does. */
  async keepAs(path: string): Promise<void> {
    await copyFile(this.path, path);
  }

  sha256(): Promise<string> {
    return sha256OfFile(this.path);
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

export async function sha256OfFile(path: string, lengthBytes?: number): Promise<string> {
  const end = lengthBytes === undefined ? {} : { end: lengthBytes - 1 };
  return sha256Of(createReadStream(path, { highWaterMark: 1024 * 1024, ...end }));
}

export async function sha256Of(chunks: AsyncIterable<Buffer>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}
