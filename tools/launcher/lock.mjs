import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { say } from './say.mjs';

const POLL_MS = 100;

/** Start time of a process in clock ticks since boot (proc(5), field 22); undefined when there is none. */
function startTimeOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, field 2, may hold spaces and brackets; the fields after the last bracket are numbers.
    return stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .at(19);
  } catch {
    // Without /proc a live pid is taken for the holder.
    return undefined;
  }
}

function isAlive({ pid, startTime }) {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error.code === 'ESRCH') return false;
  }
  const now = startTimeOf(pid);
  return now === undefined || startTime === undefined || now === startTime;
}

function readOwner(path) {
  try {
    const text = readFileSync(path, 'utf8');
    return { text, ...JSON.parse(text) };
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The file appears with its content or not at all: link() fails when the name is taken. */
function tryTake(path, me) {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, me);
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Takes a dead owner's lock away. What is taken by mistake, because another was faster, is put back. */
function removeStale(path, owner) {
  const aside = `${path}.stale.${process.pid}`;
  try {
    renameSync(path, aside);
    if (readFileSync(aside, 'utf8') !== owner.text) linkSync(aside, path);
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'EEXIST') throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

/** Runs `work` while no other process that uses the same lock file does. A dead owner's lock is taken over. */
export async function withLock(path, work) {
  mkdirSync(dirname(path), { recursive: true });
  const me = JSON.stringify({ pid: process.pid, startTime: startTimeOf(process.pid) });
  let told = false;
  while (!tryTake(path, me)) {
    const owner = readOwner(path);
    if (owner === undefined) continue;
    if (!isAlive(owner)) {
      removeStale(path, owner);
      continue;
    }
    if (!told) say(`waiting for the set-up that process ${owner.pid} is doing ...`);
    told = true;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}
