import { spawn, type ChildProcess } from 'node:child_process';
import { lariatError } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import type { LogPort } from '../../ports/log.port.js';
import type { ProgramEnd, ProgramsPort, ProgramTask } from '../../ports/programs.port.js';
import { findProgram } from './find-program.js';

/** Listings of devices are the longest answers; a program that says more has gone wrong. */
const MAX_OUTPUT_BYTES = 4 * MIB;
/** Of what it complained about, enough for a message and a log line. */
const TOLD_CHARACTERS = 500;
/** A program that hangs in the kernel does not end when it is killed: nobody waits longer for that. */
const KILL_WAIT_MS = 500;

type Outcome =
  | { readonly kind: 'ended'; readonly code: number }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'late'; readonly isGone: boolean };

/** Programs of this machine, run one process group each. */
export class HostPrograms implements ProgramsPort {
  constructor(private readonly log: LogPort) {}

  async run(task: ProgramTask): Promise<ProgramEnd> {
    const { program, args } = task;
    const path = findProgram(program);
    if (path === undefined) {
      throw lariatError(
        'PROGRAM_MISSING',
        `${program} is not on this node, and is needed to ${task.why}; install it, or give the agent a PATH that has it`,
        { program },
      );
    }
    const beganMs = performance.now();
    const child = spawn(path, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_ALL: 'C', ...task.env },
      // A group of its own: what it starts ends with it.
      detached: true,
    });
    const stdout = collect(child, 'stdout');
    const stderr = collect(child, 'stderr');
    const outcome = await this.outcomeOf(child, task.deadlineMs, () =>
      Math.max(stdout.bytes(), stderr.bytes()),
    );
    const end = { stdout: stdout.text(), stderr: stderr.text().trim() };
    this.tell(task, outcome, end.stderr, performance.now() - beganMs);
    if (outcome.kind === 'ended') return { code: outcome.code, ...end };
    throw unknownEnd(task, outcome);
  }

  private outcomeOf(
    child: ChildProcess,
    deadlineMs: number,
    saidBytes: () => number,
  ): Promise<Outcome> {
    return new Promise((resolve) => {
      let failure: string | undefined;
      let isLate = false;
      let grace: NodeJS.Timeout | undefined;
      const settle = (outcome: Outcome): void => {
        clearTimeout(deadline);
        clearTimeout(grace);
        // One that hangs in the kernel must not keep the agent from ending.
        child.unref();
        child.stdout?.destroy();
        child.stderr?.destroy();
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

  private tell(task: ProgramTask, outcome: Outcome, stderr: string, ms: number): void {
    const { program, args, why, operation } = task;
    const result = outcome.kind === 'ended' ? { code: outcome.code } : { ...outcome };
    const isFine = outcome.kind === 'ended' && outcome.code === 0;
    const said = stderr === '' ? {} : { stderr: stderr.slice(-TOLD_CHARACTERS) };
    const line = { program, args, why, operation, ...result, ms: Math.round(ms), ...said };
    if (isFine) this.log.info('program ran', line);
    else this.log.warn('program did not succeed', line);
  }
}

function collect(
  child: ChildProcess,
  name: 'stdout' | 'stderr',
): { text(): string; bytes(): number } {
  const chunks: Buffer[] = [];
  let bytes = 0;
  child[name]?.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_OUTPUT_BYTES) chunks.push(chunk);
  });
  return { text: () => Buffer.concat(chunks).toString('utf8'), bytes: () => bytes };
}

function kill({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself, and 'close' is about to say so.
  }
}

function unknownEnd(
  { program, why, deadlineMs }: ProgramTask,
  outcome: Exclude<Outcome, { kind: 'ended' }>,
): Error {
  if (outcome.kind === 'failed') {
    return lariatError('PROGRAM_FAILED', `${program}, run to ${why}: ${outcome.reason}`, {
      program,
    });
  }
  const state = outcome.isGone ? 'was ended' : 'hangs in the kernel and can not be ended';
  return lariatError(
    'PROGRAM_LATE',
    `${program}, run to ${why}, had not ended after ${deadlineMs} ms and ${state}; what it has done is looked at again`,
    { program, deadlineMs },
  );
}
