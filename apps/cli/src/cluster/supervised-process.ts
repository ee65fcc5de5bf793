import { spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import {
  backoffMs,
  defineStateMachine,
  delay,
  LariatError,
  type Backoff,
  type StateMachine,
} from '@lariat/kernel';
import type { ProcessKind, ProcessRecord, ProcessState } from './cluster-file.js';
import { identify, signalProcess, type ProcessIdentity, waitForEnd } from './process-identity.js';
import { waitForLine } from './ready.js';

/** How to run one process and how to know that it serves. */
export interface ProcessSpec {
  readonly name: string;
  readonly kind: ProcessKind;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly logPath: string;
  /** Before each start. */
  prepare?(): void;
  /** How it is given another configuration while it runs, by SIGHUP, and what it logs then. */
  readonly reload?: { write(): void; readonly done: RegExp };
  /** Resolves when the process serves; gives up when `signal` aborts. */
  ready(run: {
    readonly pid: number;
    readonly logOffset: number;
    readonly signal: AbortSignal;
  }): Promise<void>;
  /** How long it may take to stop by itself. */
  readonly stopGraceMs: number;
}

type ProcessEvent = 'serving' | 'died' | 'retry' | 'stop' | 'ended';

export const PROCESS_MACHINE: StateMachine<ProcessState, ProcessEvent> = defineStateMachine<
  ProcessState,
  ProcessEvent
>('process', {
  starting: { serving: 'ready', died: 'waiting', stop: 'stopping' },
  ready: { died: 'waiting', stop: 'stopping' },
  waiting: { retry: 'starting', stop: 'stopping' },
  stopping: { ended: 'stopped' },
  stopped: { retry: 'starting' },
});

export interface ProcessTiming {
  readonly backoff: Backoff;
  /** A process that served this long has a clean record: its next restart is quick again. */
  readonly steadyMs: number;
  /** Deaths before it ever served, after which starting it is given up. */
  readonly maxFirstDeaths: number;
}

export const DEFAULT_TIMING: ProcessTiming = {
  backoff: { initialMs: 200, maxMs: 5000, factor: 2 },
  steadyMs: 10_000,
  maxFirstDeaths: 3,
};

export interface ProcessObserver {
  changed(): void;
  said(line: string): void;
}

const MAX_LOG_BYTES = 16 * 1024 * 1024;
const QUOTED_LOG_LINES = 8;
const RELOAD_MS = 5_000;

/** One child that is started again whenever it dies, until it is stopped. */
export class SupervisedProcess {
  private state: ProcessState = 'stopped';
  private identity: ProcessIdentity | undefined;
  private restarts = 0;
  private deathsInARow = 0;
  private hasServed = false;
  private stopRequest = new AbortController();
  private loop: Promise<void> | undefined;

  constructor(
    readonly spec: ProcessSpec,
    private readonly observer: ProcessObserver,
    private readonly timing: ProcessTiming = DEFAULT_TIMING,
  ) {}

  record(): ProcessRecord {
    return {
      name: this.spec.name,
      kind: this.spec.kind,
      state: this.state,
      pid: this.identity?.pid ?? null,
      startTime: this.identity?.startTime ?? null,
      restarts: this.restarts,
    };
  }

  running(): ProcessIdentity | undefined {
    return this.identity;
  }

  /** Resolves when it serves for the first time; rejects when it keeps dying before that. */
  start(): Promise<void> {
    if (this.loop !== undefined) {
      throw new LariatError({
        kind: 'conflict',
        code: 'PROCESS_RUNNING',
        message: `${this.spec.name} runs already; stop it first.`,
      });
    }
    this.stopRequest = new AbortController();
    this.hasServed = false;
    return new Promise((serving, failed) => {
      this.loop = this.keepRunning(serving, failed).finally(() => {
        this.loop = undefined;
      });
      // A broken loop is reported through `failed`; a later one must not be an unhandled rejection.
      this.loop.catch(failed);
    });
  }

  /** Gives it another configuration; one that does not run reads that when it starts. */
  async reload(): Promise<void> {
    const { identity } = this;
    const { reload, logPath, name } = this.spec;
    if (reload === undefined || identity === undefined) return;
    reload.write();
    const offset = statSync(logPath).size;
    signalProcess(identity, 'SIGHUP');
    const line = await waitForLine(logPath, offset, AbortSignal.timeout(RELOAD_MS), (text) =>
      reload.done.test(text) ? text : undefined,
    );
    this.observer.said(`${name}: ${line ?? `has not read its configuration in ${RELOAD_MS} ms`}`);
  }

  /** SIGTERM and, after the grace, SIGKILL; resolves when it has ended and will not come back. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const ended = this.loop;
    if (ended === undefined) return;
    if (this.state !== 'stopping') this.move('stop');
    this.stopRequest.abort();
    const { identity } = this;
    if (identity !== undefined && signalProcess(identity, signal)) {
      if (!(await waitForEnd(identity, this.spec.stopGraceMs))) {
        this.observer.said(
          `${this.spec.name} did not stop within ${this.spec.stopGraceMs} ms and was killed`,
        );
        signalProcess(identity, 'SIGKILL');
      }
    }
    await ended;
  }

  private async keepRunning(serving: () => void, failed: (error: Error) => void): Promise<void> {
    const stopped = this.stopRequest.signal;
    this.move('retry');
    for (;;) {
      const death = await this.runOnce(serving);
      if (stopped.aborted) break;
      this.deathsInARow += 1;
      this.move('died');
      this.observer.said(`${this.spec.name} ${death}`);
      if (!this.hasServed && this.deathsInARow >= this.timing.maxFirstDeaths) {
        this.move('stop');
        failed(this.startFailure(death));
        break;
      }
      await delay(backoffMs(this.timing.backoff, this.deathsInARow), stopped);
      if (stopped.aborted) break;
      this.restarts += 1;
      this.move('retry');
    }
    this.move('ended');
    failed(
      new LariatError({
        kind: 'unavailable',
        code: 'PROCESS_STOPPED',
        message: `${this.spec.name} was stopped before it served.`,
      }),
    );
  }

  /** Runs the process until it ends; answers how it ended. */
  private async runOnce(serving: () => void): Promise<string> {
    this.spec.prepare?.();
    const { child, logOffset } = this.spawn();
    const over = new AbortController();
    const ended = endOf(child);
    const startedMs = performance.now();
    let servingSinceMs: number | undefined;
    if (child.pid !== undefined) {
      this.identity = identify(child.pid);
      this.observer.changed();
      void this.spec
        .ready({ pid: child.pid, logOffset, signal: over.signal })
        .then(() => {
          if (over.signal.aborted || this.state !== 'starting') return;
          servingSinceMs = performance.now();
          this.hasServed = true;
          this.move('serving');
          serving();
        })
        .catch((error: unknown) => {
          this.observer.said(`${this.spec.name}: cannot tell whether it serves: ${String(error)}`);
        });
      // Asked to stop between the decision to start and the start itself.
      if (this.stopRequest.signal.aborted) signalProcess(this.identity, 'SIGTERM');
    }
    const death = await ended;
    over.abort();
    this.identity = undefined;
    const endedMs = performance.now();
    if (servingSinceMs !== undefined && endedMs - servingSinceMs >= this.timing.steadyMs) {
      this.deathsInARow = 0;
    }
    return `${death} after ${((endedMs - startedMs) / 1000).toFixed(1)} s`;
  }

  private spawn(): { readonly child: ChildProcess; readonly logOffset: number } {
    const { command, args, env, logPath } = this.spec;
    mkdirSync(dirname(logPath), { recursive: true });
    if (existsSync(logPath) && statSync(logPath).size > MAX_LOG_BYTES) {
      renameSync(logPath, `${logPath}.1`);
    }
    const log = openSync(logPath, 'a');
    try {
      const logOffset = statSync(logPath).size;
      // Its own process group: a Ctrl-C on the terminal reaches the supervisor alone, which stops in order.
      const child = spawn(command, args, { env, detached: true, stdio: ['ignore', log, log] });
      return { child, logOffset };
    } finally {
      closeSync(log);
    }
  }

  private startFailure(death: string): LariatError {
    return new LariatError({
      kind: 'unavailable',
      code: 'PROCESS_START_FAILED',
      message: `${this.spec.name} ${death}, and does not start. Its log is ${this.spec.logPath}; it ends:\n${lastLines(this.spec.logPath)}`,
      details: { process: this.spec.name, log: this.spec.logPath },
    });
  }

  private move(event: ProcessEvent): void {
    this.state = PROCESS_MACHINE.next(this.state, event);
    this.observer.changed();
  }
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`could not be started (${error.message})`));
    child.once('exit', (code, signal) =>
      resolve(signal === null ? `ended with exit code ${code ?? '?'}` : `was ended by ${signal}`),
    );
  });
}

function lastLines(path: string): string {
  if (!existsSync(path)) return '';
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  return lines
    .slice(-QUOTED_LOG_LINES)
    .map((line) => `  ${line.slice(0, 400)}`)
    .join('\n');
}
