/** A program and its arguments; there is no shell. */
export interface Program {
  readonly program: string;
  readonly args: readonly string[];
  /** What it reads from its standard input: a secret, which stands in no journal, no log and no list of processes. */
  readonly input?: string;
}
