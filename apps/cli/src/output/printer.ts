import { toLariatError, type LariatError } from '@lariat/kernel';
import { EXIT_CODE_BY_KIND } from '../exit-codes.js';
import { placementExplanationOf, placementTable } from './placement-table.js';
import { ProgressLine, type Terminal } from './progress.js';

/** Where a command prints to; tests put their own in. */
export interface Streams {
  readonly stdout: Terminal;
  readonly stderr: Terminal;
}

/** With `--json` stdout gets exactly one document; else what a person reads. */
export class Printer {
  constructor(
    private readonly streams: Streams,
    readonly json: boolean,
  ) {}

  /** The result of a command. */
  show(data: unknown, text: () => string): void {
    this.streams.stdout.write(this.json ? `${JSON.stringify(data, null, 2)}\n` : `${text()}\n`);
  }

  /** One of a series of results: with `--json` a document a line. */
  showItem(data: unknown, text: () => string): void {
    this.streams.stdout.write(`${this.json ? JSON.stringify(data) : text()}\n`);
  }

  /** For people alone, on stdout. */
  say(text: string): void {
    if (!this.json) this.streams.stdout.write(`${text}\n`);
  }

  /** For people alone, on stderr. */
  note(text: string): void {
    if (!this.json) this.streams.stderr.write(`${text}\n`);
  }

  /** True when somebody watches: waits are then shown as they go. */
  isWatched(): boolean {
    return !this.json && this.streams.stderr.isTTY === true;
  }

  progress(): ProgressLine {
    return new ProgressLine(this.json ? { write: () => undefined } : this.streams.stderr);
  }

  /** Prints an error and answers its exit code. */
  fail(reason: unknown, traceId?: string): number {
    const error = toLariatError(reason);
    const known = error.details?.['traceId'];
    const trace = typeof known === 'string' ? known : traceId;
    if (this.json) {
      const record = { ...error.toRecord(), ...(trace === undefined ? {} : { traceId: trace }) };
      this.streams.stdout.write(`${JSON.stringify({ error: record }, null, 2)}\n`);
    } else {
      this.streams.stderr.write(`${formatError(error, trace)}\n`);
    }
    return EXIT_CODE_BY_KIND[error.kind];
  }
}

/** Code, message (which says what to do), and the trace that shows what happened. */
export function formatError(error: LariatError, traceId: string | undefined): string {
  const explanation = placementExplanationOf(error.details);
  const lines = [
    `error: ${explanation?.summary ?? error.message}`,
    `code:  ${error.code} (${error.kind})`,
  ];
  const hint = HINT_BY_KIND[error.kind];
  if (hint !== undefined && !error.message.includes("'lariat ")) lines.push(`next:  ${hint}`);
  if (traceId !== undefined) lines.push(`trace: lariat trace ${traceId}`);
  if (explanation !== undefined) lines.push('', placementTable(explanation));
  return lines.join('\n');
}

/** What to do about an error whose own message names no command. */
const HINT_BY_KIND: Readonly<Partial<Record<LariatError['kind'], string>>> = {
  invalid: "correct the value; the command's --help lists what it takes",
  unavailable: "see which part is down with 'lariat status', then try again",
  timeout: "whether it happened is not known: look with 'lariat operation list'",
  internal: "a fault of Lariat: keep the logs that 'lariat status' names, and report it",
};
