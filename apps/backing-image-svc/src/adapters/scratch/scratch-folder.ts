import { readFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { onScratch } from './scratch-full.js';

/** What tools run as when the service is root: nobody, who owns nothing but its scratch folder. */
export const UNPRIVILEGED_ID = 65_534;

const PREFIX = 'import';
const NAME = new RegExp(`^${PREFIX}-(\\d+)-(\\d+)-`);

/** Clock ticks from boot to the start of a process; null: there is none of that id. */
function startTicks(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name before it may hold spaces and brackets: proc(5), fields 3 and on come after the last bracket.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    // No such process, or one that just ended.
    return null;
  }
}

/** Files of one import, for nobody else; all of them go at its end. */
export class ScratchFolder {
  private constructor(readonly path: string) {}

  static async make(parent: string): Promise<ScratchFolder> {
    const ticks = startTicks(process.pid) ?? '0';
    const path = await onScratch(parent, async () => {
      await mkdir(parent, { recursive: true });
      return mkdtemp(join(parent, `${PREFIX}-${process.pid}-${ticks}-`));
    });
    await chmod(path, 0o700);
    const folder = new ScratchFolder(path);
    await folder.handOver(path);
    return folder;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Lets a tool that runs without the service's rights read and write it. */
  async handOver(path: string): Promise<void> {
    if (process.getuid?.() === 0) await chown(path, UNPRIVILEGED_ID, UNPRIVILEGED_ID);
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.path);
    return bavail * bsize;
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

/** Removes what processes that are no more have left in `parent`; answers with what it removed. */
export async function sweepScratch(parent: string): Promise<readonly string[]> {
  const names = await readdir(parent).catch(() => [] as string[]);
  const removed: string[] = [];
  for (const name of names) {
    const [, pid, ticks] = NAME.exec(name) ?? [];
    if (pid === undefined || startTicks(Number(pid)) === ticks) continue;
    await rm(join(parent, name), { recursive: true, force: true });
    removed.push(name);
  }
  return removed;
}
