export interface ProgramTask {
  /** A name, looked for on PATH and in the folders of system programs. */
  readonly program: string;
  /** Passed as they are: there is no shell. */
  readonly args: readonly string[];
  readonly deadlineMs: number;
  /** What it is run for. */
  readonly why: string;
  /** For whom: an operation's id, or the part of the agent that acts by itself. */
  readonly operation: string;
  /** Added to the agent's own environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface ProgramEnd {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Every program of this machine that the agent runs and waits for. Each run has a deadline, bounded output, a process
 * group that ends with it, and a line in the log; what has one deadline may hang in the kernel, and nobody waits for it.
 */
export interface ProgramsPort {
  /**
   * Resolves with whatever the program ended with. PROGRAM_MISSING: it was not begun. PROGRAM_LATE, PROGRAM_FAILED (ended
   * by a signal, or for saying too much): what it has done is unknown, and is to be looked at (invariant 2).
   */
  run(task: ProgramTask): Promise<ProgramEnd>;
}
