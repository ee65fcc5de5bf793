import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { LariatError } from '@lariat/kernel';
import { identify, isRunning, type ProcessIdentity } from './process-identity.js';

const hasErrno = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code;

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (hasErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** The lock appears with its content or not at all: link() fails when the name is taken. */
function tryTake(path: string, content: string): boolean {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, content);
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (hasErrno(error, 'EEXIST')) return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** What is taken away by mistake, because another was faster to replace it, is put back. */
function removeStale(path: string, seen: string): void {
  const aside = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, aside);
    if (readFileSync(aside, 'utf8') !== seen) linkSync(aside, path);
  } catch (error) {
    if (!hasErrno(error, 'ENOENT') && !hasErrno(error, 'EEXIST')) throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

/** The supervisor that holds a data folder; undefined when none that lives does. */
export function lockOwner(path: string): ProcessIdentity | undefined {
  const text = readText(path);
  if (text === undefined) return undefined;
  const owner = JSON.parse(text) as ProcessIdentity;
  return isRunning(owner) ? owner : undefined;
}

/** Makes this process the only supervisor of a data folder; a dead one's lock is taken over. */
export function lockDataDir(path: string): () => void {
  mkdirSync(dirname(path), { recursive: true });
  const content = JSON.stringify(identify(process.pid));
  while (!tryTake(path, content)) {
    const seen = readText(path);
    if (seen === undefined) continue;
    const owner = JSON.parse(seen) as ProcessIdentity;
    if (isRunning(owner)) {
      throw new LariatError({
        kind: 'conflict',
        code: 'CLUSTER_RUNNING',
        message: `A cluster runs in ${dirname(path)} already (supervisor ${owner.pid}). Look at it with 'lariat status', stop it with 'lariat down', or choose another folder with --data.`,
      });
    }
    removeStale(path, seen);
  }
  return () => rmSync(path, { force: true });
}
