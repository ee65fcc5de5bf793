import { ImageFolders, type OpenedFile } from '@lariat/messaging';
import { throwIfCancelled } from '../../domain/cancelled.js';
import { tooLarge } from '../../domain/qcow2-header.js';
import type { ByteReader, ImageSource } from '../../ports/byte-reader.port.js';

export interface FileSettings {
  readonly maxBytes: number;
  /** Images are taken from these folders alone; without any, from no file at all. */
  readonly folders: readonly string[];
}

export const ownFolders = ({ folders }: Pick<FileSettings, 'folders'>): ImageFolders =>
  new ImageFolders(folders, 'the image service');

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
    const { maxBytes } = this.settings;
    const file = await ownFolders(this.settings).open(this.path);
    const { sizeBytes } = file.version;
    if (sizeBytes <= maxBytes) return new FileReader(file, signal);
    await file.close();
    throw tooLarge(sizeBytes, maxBytes);
  }
}

class FileReader implements ByteReader {
  private offsetBytes = 0;

  constructor(
    private readonly file: OpenedFile,
    private readonly signal: AbortSignal,
  ) {}

  get totalBytes(): number {
    return this.file.version.sizeBytes;
  }

  async read(into: Buffer): Promise<number> {
    throwIfCancelled(this.signal);
    const bytesRead = await this.file.read(into, this.offsetBytes);
    this.offsetBytes += bytesRead;
    if (bytesRead === 0 || this.offsetBytes >= this.totalBytes) await this.file.assertUnchanged();
    return bytesRead;
  }

  close(): Promise<void> {
    return this.file.close();
  }
}
