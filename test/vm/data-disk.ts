import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB } from '@lariat/kernel';
import { run } from '../debian/programs.js';

/** A file with an empty file system: a guest's second disk, which outlives a reset. */
export async function makeDataDisk(folder: string, sizeMib: number): Promise<string> {
  const disk = join(folder, 'disk');
  await writeFile(disk, '');
  await truncate(disk, sizeMib * MIB);
  await run('mkfs.ext4', ['-q', disk]);
  return disk;
}
