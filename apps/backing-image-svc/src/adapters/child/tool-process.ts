import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { cancelled } from '../../domain/cancelled.js';
import { UNPRIVILEGED_ID } from '../scratch/scratch-folder.js';
import { findTool, type Sandbox, type Tool, type ToolLimits } from './sandbox.js';

export interface ToolTask {
  readonly tool: Tool;
  /** Passed as they are: there is no shell. */
  readonly args: readonly string[];
  /** A scratch folder; file names among the arguments are relative to it. */
  readonly folder: string;
  readonly limits: ToolLimits;
  /** Null: as long as it takes, for what is fed by a stream that has limits of its own. */
  readonly deadlineMs: number | null;
  readonly signal: AbortSignal;
}

export interface ToolEnd {
  /** Null: a signal ended it. */
  readonly code: number | null;
  readonly killedBy: NodeJS.Signals | null;
  /** The last part of what it said. */
  readonly stderr: string;
  readonly isLate: boolean;
}

const STDERR_BYTES = 4096;

/** A program at work in the sandbox. Its whole process group ends with `kill`, at the deadline, or at the signal. */
export class ToolProcess {
  readonly done: Promise<ToolEnd>;
  private stderr = '';
  private isLate = false;
  private isOver = false;

  private constructor(
    private readonly child: ChildProcess,
    readonly stdin: Writable,
    readonly stdout: Readable,
    stderr: Readable,
    private readonly task: ToolTask,
  ) {
    stderr.setEncoding('latin1').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-STDERR_BYTES);
    });
    // A program that ends before it has read everything: what it says of that is in its exit code.
    stdin.on('error', () => undefined);
    const stop = (): void => this.kill();
    task.signal.addEventListener('abort', stop);
    const timer =
      task.deadlineMs === null
        ? undefined
        : setTimeout(() => {
            this.isLate = true;
            this.kill();
          }, task.deadlineMs);
    this.done = new Promise<ToolEnd>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, killedBy) => {
        const { isLate } = this;
        resolve({ code, killedBy, stderr: this.stderr.trim(), isLate });
      });
    }).finally(() => {
      this.isOver = true;
      clearTimeout(timer);
      task.signal.removeEventListener('abort', stop);
    });
    // Whoever needs the outcome awaits it; nobody does after a cancel.
    this.done.catch(() => undefined);
  }

  static async start(sandbox: Sandbox, task: ToolTask): Promise<ToolProcess> {
    const program = await findTool(task.tool, sandbox.path);
    if (task.signal.aborted) throw cancelled(task.signal);
    const [command = '', ...args] = sandbox.commandLine(program, task.args, task.limits);
    const isRoot = process.getuid?.() === 0;
    const child = spawn(command, args, {
      cwd: task.folder,
      env: {
        PATH: sandbox.path,
        LC_ALL: 'C',
        HOME: task.folder,
        TMPDIR: task.folder,
        // glibc sets 64 MiB of addresses aside for each thread, and the limit of memory counts those.
        MALLOC_ARENA_MAX: '2',
      },
      stdio: ['pipe', 'pipe', 'pipe'],
      // A process group of its own, so that nothing that it starts outlives it.
      detached: true,
      ...(isRoot ? { uid: UNPRIVILEGED_ID, gid: UNPRIVILEGED_ID } : {}),
    });
    return new ToolProcess(child, child.stdin, child.stdout, child.stderr, task);
  }

  kill(): void {
    const { pid } = this.child;
    if (pid === undefined || this.isOver) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It has ended by itself, and 'close' is about to say so.
    }
  }
}
