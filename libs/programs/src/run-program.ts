import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { MIB } from '@lariat/kernel';

/** Listings of devices are the longest answers; a program that says more has gone wrong. */
const MAX_OUTPUT_BYTES = 4 * MIB;
/** A program that hangs in the kernel does not end when it is killed: nobody waits longer for it. */
const KILL_WAIT_MS = 500;

export interface ProgramRun {
  readonly path: string;
  /** Passed as they are: there is no shell. */
  readonly args: readonly string[];
  readonly deadlineMs: number;
  /** Added to this process's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** All that it reads from its standard input; none: there is nothing to read. */
  readonly input?: string;
}

/** What is known of how it ended. Of one that has failed or is late nobody knows what it has done. */
export type ProgramOutcome =
  | { readonly kind: 'ended'; readonly code: number }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'late'; readonly isGone: boolean };

export interface ProgramResult {
  readonly outcome: ProgramOutcome;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/**
 * Runs a program and waits for it, no longer than to its deadline. It is a process group of its own, so that what it starts
 * ends with it. Never rejects.
 */
export async function runProgram(run: ProgramRun): Promise<ProgramResult> {
  const child = spawn(run.path, run.args, {
    stdio: [run.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', ...run.env },
    detached: true,
  });
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const outcome = await outcomeOf(child, run, () => Math.max(stdout.bytes(), stderr.bytes()));
  return { outcome, stdout: stdout.said(), stderr: stderr.said().toString('utf8') };
}

function outcomeOf(
  child: ChildProcess,
  { deadlineMs, input }: ProgramRun,
  saidBytes: () => number,
): Promise<ProgramOutcome> {
  return new Promise((resolve) => {
    let failure: string | undefined;
    let isLate = false;
    let grace: NodeJS.Timeout | undefined;
    const settle = (outcome: ProgramOutcome): void => {
      clearTimeout(deadline);
      clearTimeout(grace);
      // One that hangs in the kernel must not keep this process from ending.
      child.unref();
      for (const stream of child.stdio) stream?.destroy();
      resolve(outcome);
    };
    const abandon = (): void => {
      kill(child);
      grace = setTimeout(() => {
        settle(
          failure === undefined
            ? { kind: 'late', isGone: false }
            : { kind: 'failed', reason: failure },
        );
      }, KILL_WAIT_MS);
    };
    const deadline = setTimeout(() => {
      isLate = true;
      abandon();
    }, deadlineMs);
    const watch = (): void => {
      if (failure !== undefined || isLate || saidBytes() <= MAX_OUTPUT_BYTES) return;
      failure = `it said more than ${MAX_OUTPUT_BYTES} bytes`;
      abandon();
    };
    child.stdout?.on('data', watch);
    child.stderr?.on('data', watch);
    // One that ends before it has read it all says by its code what it thinks of it.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
    child.once('error', (error) => settle({ kind: 'failed', reason: error.message }));
    child.once('close', (code, signal) => {
      if (isLate) settle({ kind: 'late', isGone: true });
      else if (failure !== undefined) settle({ kind: 'failed', reason: failure });
      else if (code === null)
        settle({ kind: 'failed', reason: `it was ended by ${signal ?? 'a signal'}` });
      else settle({ kind: 'ended', code });
    });
  });
}

function collect(stream: Readable | null): { said(): Buffer; bytes(): number } {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream?.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_OUTPUT_BYTES) chunks.push(chunk);
  });
  return { said: () => Buffer.concat(chunks), bytes: () => bytes };
}

function kill({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself, and 'close' is about to say so.
  }
}
