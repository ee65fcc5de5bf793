/** As for any unmet precondition: see the exit codes in `lariat --help`. */
export const EXIT_NOT_SET_UP = 5;

/** A failure of set-up whose message says what to do. */
export class SetupError extends Error {}

/** On stderr: stdout belongs to what the command prints. */
export function say(text) {
  process.stderr.write(`lariat: ${text}\n`);
}

export const seconds = (sinceMs) => `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
