import { readdirSync, readFileSync } from 'node:fs';

/** Of an attribute of sysfs, without its newline; undefined when it is not there (any more). */
export function attribute(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trimEnd();
  } catch {
    return undefined;
  }
}

/** Names in a folder of sysfs; none when it is not there: the driver is not loaded, or the device has gone. */
export function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

const SECTOR_BYTES = 512;

/** sysfs and device-mapper count in sectors of 512 bytes, whatever the device's blocks are. */
export const sectorsOf = (sizeBytes: number): number => Math.floor(sizeBytes / SECTOR_BYTES);

export const blockSizeOf = (name: string): number =>
  Number(attribute(`/sys/class/block/${name}/size`) ?? 0) * SECTOR_BYTES;
