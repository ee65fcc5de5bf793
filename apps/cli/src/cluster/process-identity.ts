import { readFileSync } from 'node:fs';
import { delay } from '@lariat/kernel';

/** A pid may be given to another process once its own has ended; with the start time it is one process alone. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot; null on a system without /proc, where the pid alone must do. */
  readonly startTime: string | null;
}

/** Fields of /proc/PID/stat after the name, which may itself hold spaces and brackets (proc(5)). */
function statFields(pid: number): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    // It has ended, or there is no /proc.
    return undefined;
  }
}

/** Positions in the list above; proc(5) counts from 1 and has the name as number 2. */
const STATE_FIELD = 0;
const START_TIME_FIELD = 19;

export function startTimeOf(pid: number): string | null {
  return statFields(pid)?.[START_TIME_FIELD] ?? null;
}

export function identify(pid: number): ProcessIdentity {
  return { pid, startTime: startTimeOf(pid) };
}

function pidExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, and somebody else's.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** True while the very process runs; a zombie has ended and only waits for its parent. */
export function isRunning(identity: ProcessIdentity): boolean {
  if (!pidExists(identity.pid)) return false;
  const fields = statFields(identity.pid);
  if (fields === undefined) return identity.startTime === null;
  if (fields[STATE_FIELD] === 'Z') return false;
  return identity.startTime === null || fields[START_TIME_FIELD] === identity.startTime;
}

/** Sends a signal to the very process; false when it has ended. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isRunning(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}

const POLL_MS = 20;

/** True when it ended within the time. */
export async function waitForEnd(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadlineMs = performance.now() + timeoutMs;
  while (isRunning(identity)) {
    if (performance.now() >= deadlineMs) return false;
    await delay(POLL_MS);
  }
  return true;
}

/** SIGTERM, and SIGKILL to one that has not ended after `graceMs`. */
export async function stopProcess(identity: ProcessIdentity, graceMs: number): Promise<void> {
  if (!signalProcess(identity, 'SIGTERM')) return;
  if (await waitForEnd(identity, graceMs)) return;
  signalProcess(identity, 'SIGKILL');
  await waitForEnd(identity, graceMs);
}

/**
 * The process that held `pid` at a moment in the past; undefined when that one has ended. A process that
 * started later than the moment got the pid after it.
 */
export function identifyAt(pid: number, atMs: number): ProcessIdentity | undefined {
  const identity = identify(pid);
  if (!isRunning(identity)) return undefined;
  const startedAtMs = startedAt(identity);
  return startedAtMs !== undefined && startedAtMs > atMs + BOOT_TIME_PRECISION_MS
    ? undefined
    : identity;
}

/** USER_HZ, which Linux fixes at 100 for all that it shows to users. */
const TICKS_PER_SECOND = 100;
/** /proc/stat gives the time of boot in whole seconds. */
const BOOT_TIME_PRECISION_MS = 2000;

function startedAt({ startTime }: ProcessIdentity): number | undefined {
  if (startTime === null) return undefined;
  const boot = /^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1];
  if (boot === undefined) return undefined;
  return (Number(boot) + Number(startTime) / TICKS_PER_SECOND) * 1000;
}
