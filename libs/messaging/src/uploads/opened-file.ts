import { constants } from 'node:fs';
import { type FileHandle, open, readlink, stat } from 'node:fs/promises';
import { type FileVersion, lariatError } from '@lariat/contracts';

/** A regular file as it was when it was opened. */
export class OpenedFile {
  private isClosed = false;

  private constructor(
    readonly path: string,
    readonly version: FileVersion,
    private readonly file: FileHandle,
  ) {}

  static async open(path: string): Promise<OpenedFile> {
    const file = await openHandle(path);
    try {
      const stats = await file.stat({ bigint: true });
      if (!stats.isFile()) throw refusedSource(path, 'is not a regular file');
      return new OpenedFile(path, versionOf(stats), file);
    } catch (reason) {
      await file.close();
      throw reason;
    }
  }

  /** Where the bytes really are, whatever the path leads to by now. */
  realPath(): Promise<string> {
    return readlink(`/proc/self/fd/${this.file.fd}`);
  }

  /** How many bytes of `into` were filled: fewer at the end of the file, and 0 there. */
  async read(into: Uint8Array, offsetBytes: number): Promise<number> {
    try {
      return (await this.file.read(into, 0, into.length, offsetBytes)).bytesRead;
    } catch (reason) {
      throw refusedSource(this.path, `cannot be read (${errnoOf(reason)})`, reason);
    }
  }

  /** That the path still leads to this very file, as it was: then what was read before is of one state. */
  async assertUnchanged(): Promise<void> {
    // Whatever hinders the look, the path does not lead there any more.
    const now = await stat(this.path, { bigint: true }).catch(() => null);
    if (now === null || !isSameVersion(versionOf(now), this.version))
      throw changedSource(this.path);
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await this.file.close();
  }
}

async function openHandle(path: string): Promise<FileHandle> {
  try {
    // Without O_NONBLOCK the open of a named pipe waits for a writer.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (reason) {
    const code = errnoOf(reason);
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw lariatError('IMAGE_SOURCE_NOT_FOUND', `there is no file ${path}`, {}, reason);
    throw refusedSource(path, `cannot be opened (${code})`, reason);
  }
}

const errnoOf = (reason: unknown): string =>
  (reason as NodeJS.ErrnoException).code ?? String(reason);

interface BigStats {
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ino: bigint;
}

const versionOf = ({ size, mtimeNs, ino }: BigStats): FileVersion => ({
  sizeBytes: Number(size),
  mtimeNs: String(mtimeNs),
  inode: String(ino),
});

export const isSameVersion = (one: FileVersion, other: FileVersion): boolean =>
  one.sizeBytes === other.sizeBytes && one.mtimeNs === other.mtimeNs && one.inode === other.inode;

/** Why a file is not to be an image's source. */
export const refusedSource = (path: string, why: string, cause?: unknown): Error =>
  lariatError('IMAGE_SOURCE_REFUSED', `${path} ${why}`, {}, cause);

/** What ends a reading whose bytes would be of two states of the file. */
export const changedSource = (path: string): Error =>
  lariatError(
    'IMAGE_SOURCE_CHANGED',
    `${path} was changed or replaced while it was being read; try again when nothing writes to it`,
  );
