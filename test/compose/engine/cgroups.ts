import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { basename, join } from 'node:path';

const ROOT = '/sys/fs/cgroup';

/** The control group that all containers of this process's engine are in. */
export const engineCgroup = (): string => `lariat-compose-${process.pid}`;

/** Removes the groups of this process's engine, which has ended, and of those whose process is gone. */
export function removeCgroups(): void {
  for (const group of [ROOT, ...foldersIn(ROOT)].flatMap(foldersIn)) {
    const [name, pid] = /^lariat-compose-(\d+)$/.exec(basename(group)) ?? [];
    const isOver = Number(pid) === process.pid || !existsSync(`/proc/${pid}`);
    if (name !== undefined && isOver) removeTree(group);
  }
}

function removeTree(group: string): void {
  for (const inner of foldersIn(group)) removeTree(inner);
  try {
    rmdirSync(group);
  } catch {
    // What was in it is still ending: the next run removes it.
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
