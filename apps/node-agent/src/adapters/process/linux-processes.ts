import { spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { lariatError } from '@lariat/contracts';
import { delay, MIB } from '@lariat/kernel';
import type { ProcessesPort, ProcessIdentity } from '../../ports/processes.port.js';
import { isAlive, readProcStat } from './proc-stat.js';

const STOP_POLL_MS = 5;
/** How long a killed process may take to leave the process table. */
const KILL_WAIT_MS = 5_000;
const MAX_LOG_BYTES = 16 * MIB;
const MAX_OUTPUT_CHARS = 4_000;

/** Child processes that outlive the agent, known by pid and start time. */
export class LinuxProcesses implements ProcessesPort {
  async startDetached(
    command: string,
    args: readonly string[],
    logPath: string,
  ): Promise<ProcessIdentity> {
    mkdirSync(dirname(logPath), { recursive: true });
    rotate(logPath);
    // A file, not a pipe: a pipe would end with the agent, and its next writer with SIGPIPE.
    const log = openSync(logPath, 'a');
    try {
      const child = spawn(command, args, { detached: true, stdio: ['ignore', log, log] });
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', reject);
      });
      child.unref();
      const pid = child.pid ?? 0;
      return { pid, startTime: readProcStat(pid)?.startTime ?? 0 };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw lariatError(
        'TARGET_UNAVAILABLE',
        `cannot start ${command}: ${reason}`,
        undefined,
        cause,
      );
    } finally {
      closeSync(log);
    }
  }

  run(command: string, args: readonly string[], deadlineMs: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = spawn(command, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
      let output = '';
      const take = (piece: Buffer): void => {
        if (output.length < MAX_OUTPUT_CHARS) output += piece.toString();
      };
      child.stdout.on('data', take);
      child.stderr.on('data', take);
      // All that it has started goes with it.
      const timer = setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGKILL'), deadlineMs);
      child.once('error', (reason) => {
        clearTimeout(timer);
        reject(reason);
      });
      child.once('close', (code, signal) => {
        clearTimeout(timer);
        if (code === 0) resolve(output.trim());
        else reject(new Error(`${command} ended with ${signal ?? code}: ${output.trim()}`));
      });
    });
  }

  isAlive(identity: ProcessIdentity): boolean {
    return isAlive(identity);
  }

  findByArgument(argument: string): ProcessIdentity | undefined {
    for (const entry of readdirSync('/proc')) {
      const pid = Number(entry);
      if (!Number.isInteger(pid) || pid === process.pid) continue;
      if (!argumentsOf(pid).includes(argument)) continue;
      const startTime = readProcStat(pid)?.startTime;
      if (startTime !== undefined && isAlive({ pid, startTime })) return { pid, startTime };
    }
    return undefined;
  }

  async stop(identity: ProcessIdentity, deadlineMs: number): Promise<void> {
    if (await this.signalAndWait(identity, 'SIGTERM', deadlineMs)) return;
    await this.kill(identity, KILL_WAIT_MS);
  }

  async kill(identity: ProcessIdentity, deadlineMs: number): Promise<void> {
    if (await this.signalAndWait(identity, 'SIGKILL', deadlineMs)) return;
    throw lariatError(
      'TARGET_UNAVAILABLE',
      `process ${identity.pid} does not end, not even by SIGKILL; its disk may hang`,
    );
  }

  private async signalAndWait(
    identity: ProcessIdentity,
    signal: NodeJS.Signals,
    deadlineMs: number,
  ): Promise<boolean> {
    if (!isAlive(identity)) return true;
    try {
      process.kill(identity.pid, signal);
    } catch (reason) {
      if ((reason as NodeJS.ErrnoException).code === 'ESRCH') return true;
      throw reason;
    }
    const deadline = performance.now() + deadlineMs;
    while (isAlive(identity)) {
      if (performance.now() > deadline) return false;
      await delay(STOP_POLL_MS);
    }
    return true;
  }
}

function argumentsOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    // Gone meanwhile, or another user's: not a child of this agent.
    return [];
  }
}

/** One older file is kept, so that logs of processes that restart for ever stay bounded. */
function rotate(path: string): void {
  const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (sizeBytes > MAX_LOG_BYTES) renameSync(path, `${path}.1`);
}
