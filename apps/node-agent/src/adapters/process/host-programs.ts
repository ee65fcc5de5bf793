import { lariatError } from '@lariat/contracts';
import { type ProgramOutcome, findProgram, runProgram } from '@lariat/programs';
import type { LogPort } from '../../ports/log.port.js';
import type { ProgramEnd, ProgramsPort, ProgramTask } from '../../ports/programs.port.js';

/** Of what it complained about, enough for a message and a log line. */
const TOLD_CHARACTERS = 500;

/** Programs of this machine, run one process group each. */
export class HostPrograms implements ProgramsPort {
  constructor(private readonly log: LogPort) {}

  async run(task: ProgramTask): Promise<ProgramEnd> {
    const { program } = task;
    const path = findProgram(program);
    if (path === undefined) {
      throw lariatError(
        'PROGRAM_MISSING',
        `${program} is not on this node, and is needed to ${task.why}; install it, or give the agent a PATH that has it`,
        { program },
      );
    }
    const beganMs = performance.now();
    const { outcome, stdout, stderr } = await runProgram({ ...task, path });
    const end = { stdout: stdout.toString('utf8'), stderr: stderr.trim() };
    this.tell(task, outcome, end.stderr, performance.now() - beganMs);
    if (outcome.kind === 'ended') return { code: outcome.code, ...end };
    throw unknownEnd(task, outcome);
  }

  private tell(task: ProgramTask, outcome: ProgramOutcome, stderr: string, ms: number): void {
    const { program, args, why, operation } = task;
    const result = outcome.kind === 'ended' ? { code: outcome.code } : { ...outcome };
    const isFine = outcome.kind === 'ended' && outcome.code === 0;
    const said = stderr === '' ? {} : { stderr: stderr.slice(-TOLD_CHARACTERS) };
    const line = { program, args, why, operation, ...result, ms: Math.round(ms), ...said };
    if (isFine) this.log.info('program ran', line);
    else this.log.warn('program did not succeed', line);
  }
}

function unknownEnd(
  { program, why, deadlineMs }: ProgramTask,
  outcome: Exclude<ProgramOutcome, { kind: 'ended' }>,
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
