import { EXIT_INTERRUPTED } from './exit-codes.js';

/**
 * Ctrl-C and SIGTERM. A command that owns children or files takes them over and stops in order; for any
 * other the process ends at once, since the work itself goes on in the cluster.
 */
export class Interruption {
  private readonly abort = new AbortController();
  private isTaken = false;
  private hint: string | undefined;

  constructor(
    private readonly exit: (code: number) => void = (code) => process.exit(code),
    private readonly say: (text: string) => void = (text) => process.stderr.write(`${text}\n`),
  ) {}

  listen(): void {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => this.interrupt());
    }
  }

  interrupt(): void {
    const isFirst = !this.abort.signal.aborted;
    this.abort.abort();
    if (this.isTaken) {
      if (isFirst) this.say('stopping ...');
      return;
    }
    if (this.hint !== undefined) this.say(this.hint);
    this.exit(EXIT_INTERRUPTED);
  }

  /** From now on the caller ends the process in its own time. */
  takeOver(): AbortSignal {
    this.isTaken = true;
    return this.abort.signal;
  }

  /** Said when the process ends at once: what goes on without it. */
  setHint(hint: string | undefined): void {
    this.hint = hint;
  }

  get isInterrupted(): boolean {
    return this.abort.signal.aborted;
  }
}
