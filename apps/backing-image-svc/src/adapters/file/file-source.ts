import { constants } from 'node:fs';
import { type FileHandle, open, readlink, realpath } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { lariatError } from '@lariat/contracts';
import { throwIfCancelled } from '../../domain/cancelled.js';
import { tooLarge } from '../../domain/qcow2-header.js';
import type { ByteReader, ImageSource } from '../../ports/byte-reader.port.js';

export interface FileSettings {
  readonly maxBytes: number;
  /** Images are taken from these folders alone; without any, from no file at all. */
  readonly folders: readonly string[];
}

/** The service may be root, and who asks it is not: without folders to keep to, any file could be read through it. */
export function assertFilesOpen({ folders }: Pick<FileSettings, 'folders'>): void {
  if (folders.length > 0) return;
  throw lariatError(
    'IMAGE_FILES_CLOSED',
    "the image service reads no files of its machine; start it with LARIAT_IMAGE_FOLDERS set to the folders that hold images (as /srv/images:/mnt/iso), or send the file with 'lariat image create NAME --file PATH'",
  );
}

/** An image in a file of this machine. */
export class FileSource implements ImageSource {
  readonly description: string;

  constructor(
    private readonly path: string,
    private readonly settings: FileSettings,
  ) {
    this.description = path;
  }

  async open(signal: AbortSignal): Promise<ByteReader> {
    throwIfCancelled(signal);
    assertFilesOpen(this.settings);
    // Twice: what is elsewhere is not opened, nor told whether it exists; and the name may be a link to elsewhere since.
    await this.checkFolder(await realpath(this.path).catch(() => resolve(this.path)));
    const file = await this.openFile();
    try {
      await this.checkFolder(await readlink(`/proc/self/fd/${file.fd}`));
      const stat = await file.stat();
      if (!stat.isFile()) throw refused(this.path, 'is not a regular file');
      if (stat.size > this.settings.maxBytes) throw tooLarge(stat.size, this.settings.maxBytes);
      return new FileReader(
        file,
        this.path,
        { sizeBytes: stat.size, mtimeMs: stat.mtimeMs },
        signal,
      );
    } catch (reason) {
      await file.close();
      throw reason;
    }
  }

  private async openFile(): Promise<FileHandle> {
    try {
      // Without O_NONBLOCK the open of a named pipe waits for a writer.
      return await open(this.path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (reason) {
      const code = (reason as NodeJS.ErrnoException).code;
      if (code === 'ENOENT' || code === 'ENOTDIR')
        throw lariatError('IMAGE_SOURCE_NOT_FOUND', `there is no file ${this.path}`, {}, reason);
      throw refused(this.path, `cannot be opened (${code ?? String(reason)})`, reason);
    }
  }

  private async checkFolder(path: string): Promise<void> {
    const { folders } = this.settings;
    for (const folder of folders) {
      const real = await realpath(folder).catch(() => null);
      if (real !== null && path.startsWith(real.endsWith(sep) ? real : real + sep)) return;
    }
    throw refused(
      this.path,
      `is not in a folder for images of the service's machine (LARIAT_IMAGE_FOLDERS: ${folders.join(', ')})`,
    );
  }
}

interface FileState {
  readonly sizeBytes: number;
  readonly mtimeMs: number;
}

class FileReader implements ByteReader {
  private offsetBytes = 0;
  private isClosed = false;

  constructor(
    private readonly file: FileHandle,
    private readonly path: string,
    private readonly opened: FileState,
    private readonly signal: AbortSignal,
  ) {}

  get totalBytes(): number {
    return this.opened.sizeBytes;
  }

  async read(into: Buffer): Promise<number> {
    throwIfCancelled(this.signal);
    const { bytesRead } = await this.file.read(into, 0, into.length, this.offsetBytes);
    this.offsetBytes += bytesRead;
    if (bytesRead === 0 || this.offsetBytes >= this.totalBytes) await this.checkUnchanged();
    return bytesRead;
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await this.file.close();
  }

  private async checkUnchanged(): Promise<void> {
    const { size, mtimeMs } = await this.file.stat();
    if (size === this.totalBytes && mtimeMs === this.opened.mtimeMs && this.offsetBytes <= size)
      return;
    throw lariatError(
      'IMAGE_SOURCE_CHANGED',
      `${this.path} changed while it was being read; try again when nothing writes to it`,
    );
  }
}

const refused = (path: string, why: string, cause?: unknown): Error =>
  lariatError('IMAGE_SOURCE_REFUSED', `${path} ${why}`, {}, cause);
