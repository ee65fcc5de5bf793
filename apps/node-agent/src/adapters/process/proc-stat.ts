import { readFileSync } from 'node:fs';

export interface ProcStat {
  readonly state: string;
  /** Clock ticks after boot. */
  readonly startTime: number;
}

/** Index of field 22 (`starttime`, proc(5)) counted from field 3, the first after the command's name. */
const START_TIME_INDEX = 19;

/** The name may hold blanks and parentheses: the fields are counted from the last `)`. */
export function parseProcStat(text: string): ProcStat | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  const startTime = Number(fields[START_TIME_INDEX]);
  if (state === undefined || state === '' || !Number.isSafeInteger(startTime)) return undefined;
  return { state, startTime };
}

/** Undefined when there is no such process. */
export function readProcStat(pid: number): ProcStat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    // ENOENT or ESRCH: it is gone.
    return undefined;
  }
  return parseProcStat(text);
}

const DEAD_STATES: ReadonlySet<string> = new Set(['Z', 'X', 'x']);

/** True while exactly this process runs; a zombie is dead. */
export function isAlive(identity: { readonly pid: number; readonly startTime: number }): boolean {
  const stat = readProcStat(identity.pid);
  return (
    stat !== undefined && stat.startTime === identity.startTime && !DEAD_STATES.has(stat.state)
  );
}

export function ownIdentity(): { pid: number; startTime: number } {
  return { pid: process.pid, startTime: readProcStat(process.pid)?.startTime ?? 0 };
}
