import { linkSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LariatError } from '@lariat/kernel';
import { isAlive, ownIdentity } from './proc-stat.js';

interface LockOwner {
  readonly pid: number;
  readonly startTime: number;
}

/** One agent a data folder. A lock whose process is gone is taken over. */
export class AgentLock {
  private constructor(private readonly path: string) {}

  static acquire(dataDir: string): AgentLock {
    const path = join(dataDir, 'agent.lock');
    const draft = `${path}.${process.pid}`;
    writeFileSync(draft, JSON.stringify(ownIdentity()));
    try {
      for (;;) {
        try {
          // link(2) fails when the name is there: made whole or not at all.
          linkSync(draft, path);
          return new AgentLock(path);
        } catch (reason) {
          if ((reason as NodeJS.ErrnoException).code !== 'EEXIST') throw reason;
        }
        const owner = readOwner(path);
        if (owner !== undefined && isAlive(owner)) {
          throw new LariatError({
            kind: 'conflict',
            code: 'AGENT_RUNNING',
            message: `the data folder ${dataDir} is in use by the agent with pid ${owner.pid}; stop that one, or give --data another folder`,
          });
        }
        removeStale(path, owner);
      }
    } finally {
      rmSync(draft, { force: true });
    }
  }

  release(): void {
    const owner = readOwner(this.path);
    if (owner?.pid === process.pid) rmSync(this.path, { force: true });
  }
}

function readOwner(path: string): LockOwner | undefined {
  try {
    const owner = JSON.parse(readFileSync(path, 'utf8')) as Partial<LockOwner>;
    const { pid, startTime } = owner;
    return typeof pid === 'number' && typeof startTime === 'number'
      ? { pid, startTime }
      : undefined;
  } catch {
    // Gone, or not ours to understand: treated as a lock without a living owner.
    return undefined;
  }
}

/** Of two agents that find the same stale lock, the rename lets only one remove it. */
function removeStale(path: string, stale: LockOwner | undefined): void {
  const aside = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (reason) {
    if ((reason as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw reason;
  }
  const taken = readOwner(aside);
  if (taken !== undefined && taken.pid !== stale?.pid && isAlive(taken)) {
    // Between the look and the rename another agent had taken over: give its lock back.
    linkSync(aside, path);
  }
  unlinkSync(aside);
}
