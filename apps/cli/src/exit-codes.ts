import type { ErrorKind } from '@lariat/kernel';

/** What a script learns from a failed command. */
export const EXIT_CODE_BY_KIND: Readonly<Record<ErrorKind, number>> = {
  internal: 1,
  invalid: 2,
  not_found: 3,
  conflict: 4,
  precondition: 5,
  unavailable: 6,
  timeout: 7,
};

export const EXIT_OK = 0;
/** 128 + SIGINT, as shells have it. */
export const EXIT_INTERRUPTED = 130;

export const EXIT_CODES_HELP = `Exit codes:
  0    done
  1    internal error: a fault of Lariat itself
  2    invalid: the command line or a value in it is wrong
  3    not found: what was named does not exist
  4    conflict: the name is taken, or another operation was first
  5    precondition: the state forbids it until somebody changes something
  6    unavailable: no cluster, or a part of it, answers; try again
  7    timeout: the outcome is not known; look before you try again
  130  interrupted`;
