import { realpath } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { lariatError } from '@lariat/contracts';
import { OpenedFile, refusedSource } from './opened-file.js';

/**
 * The folders that a process takes images from. It may be root, and who asks it is not: without folders to keep to, any
 * file could be read through it.
 */
export class ImageFolders {
  constructor(
    private readonly folders: readonly string[],
    /** Whose they are, in messages: `the image service`. */
    private readonly reader: string,
  ) {}

  /** Without any, no file is opened, whichever it is. */
  assertOpen(): void {
    if (this.folders.length > 0) return;
    throw lariatError(
      'IMAGE_FILES_CLOSED',
      `${this.reader} reads no files of its machine; start it with LARIAT_IMAGE_FOLDERS set to the folders that hold images (as /srv/images:/mnt/iso), or send the file with 'lariat image create NAME --file PATH'`,
    );
  }

  /** A regular file below one of them, by what the name leads to. */
  async open(path: string): Promise<OpenedFile> {
    this.assertOpen();
    // Twice: what is elsewhere is not opened, nor told whether it exists; and the name may be a link to elsewhere since.
    await this.assertWithin(path, await realpath(path).catch(() => resolve(path)));
    const file = await OpenedFile.open(path);
    try {
      await this.assertWithin(path, await file.realPath());
      return file;
    } catch (reason) {
      await file.close();
      throw reason;
    }
  }

  private async assertWithin(path: string, realPath: string): Promise<void> {
    for (const folder of this.folders) {
      const real = await realpath(folder).catch(() => null);
      if (real !== null && realPath.startsWith(real.endsWith(sep) ? real : real + sep)) return;
    }
    throw refusedSource(
      path,
      `is in none of the folders that ${this.reader} takes images from (LARIAT_IMAGE_FOLDERS: ${this.folders.join(', ')})`,
    );
  }
}
