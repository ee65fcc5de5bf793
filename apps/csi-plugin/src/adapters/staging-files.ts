import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isLariatId } from '@lariat/kernel';
import type { Staging, StagingsPort } from '../ports/stagings.port.js';

/** A file a volume, whole or not there. What is lost with it is found again: a stage looks at the mounts. */
export class StagingFiles implements StagingsPort {
  constructor(private readonly folder: string) {}

  async get(volume: string): Promise<Staging | undefined> {
    if (!isLariatId(volume)) return undefined;
    try {
      return JSON.parse(await readFile(this.pathOf(volume), 'utf8')) as Staging;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  async put(staging: Staging): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    const path = this.pathOf(staging.volume);
    const file = await open(`${path}.new`, 'w');
    try {
      await file.writeFile(JSON.stringify(staging));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
  }

  async drop(volume: string): Promise<void> {
    if (isLariatId(volume)) await rm(this.pathOf(volume), { force: true });
  }

  private pathOf(volume: string): string {
    return join(this.folder, `${volume}.json`);
  }
}
