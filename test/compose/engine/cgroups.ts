import { readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = '/sys/fs/cgroup';
const PREFIX = 'lariat-compose-';

/** The control group that all containers of this process's engine are in. */
export const engineCgroup = (): string => `${PREFIX}${process.pid}`;

/** Removes groups of engines that no longer run; those with processes in them can't be removed. */
export function removeCgroups(): void {
  for (const hierarchy of [ROOT, ...foldersIn(ROOT)])
    for (const group of foldersIn(hierarchy))
      if (group.slice(hierarchy.length + 1).startsWith(PREFIX)) removeTree(group);
}

function removeTree(group: string): void {
  for (const inner of foldersIn(group)) removeTree(inner);
  try {
    rmdirSync(group);
  } catch {
    // In use by an engine that runs.
  }
}

function foldersIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(folder, entry.name));
  } catch {
    return [];
  }
}
