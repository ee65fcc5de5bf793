/** A process without the danger of a reused pid: `startTime` is field 22 of /proc/<pid>/stat. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: number;
}

export interface ProcessesPort {
  /** Starts it in a session of its own, so that it outlives the agent; its output goes to `logPath`. */
  startDetached(
    command: string,
    args: readonly string[],
    logPath: string,
  ): Promise<ProcessIdentity>;
  /** Runs it to its end, or kills it after the deadline; what it wrote, or a rejection that says how it ended. */
  run(command: string, args: readonly string[], deadlineMs: number): Promise<string>;
  isAlive(identity: ProcessIdentity): boolean;
  /** A process that has exactly this among its arguments; finds a child whose pid was never recorded. */
  findByArgument(argument: string): ProcessIdentity | undefined;
  /** SIGTERM, then SIGKILL after the deadline; resolves when it is gone. */
  stop(identity: ProcessIdentity, deadlineMs: number): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  kill(identity: ProcessIdentity, deadlineMs: number): Promise<void>;
}
