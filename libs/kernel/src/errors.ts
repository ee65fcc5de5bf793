/**
 * Who must act on an error decides what is done with it: how it is settled, retried and logged.
 * `timeout` means that the outcome is unknown: probe before a retry or an undo.
 */
export const ErrorKind = Object.freeze({
  invalid: 'invalid',
  notFound: 'not_found',
  conflict: 'conflict',
  precondition: 'precondition',
  unavailable: 'unavailable',
  timeout: 'timeout',
  internal: 'internal',
} as const);
export type ErrorKind = (typeof ErrorKind)[keyof typeof ErrorKind];

const ERROR_KINDS: ReadonlySet<string> = new Set(Object.values(ErrorKind));

/** Plain data that may be put into a JSON document. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json | undefined };

/** An error as it crosses a process boundary. */
export interface ErrorRecord {
  readonly code: string;
  readonly kind: ErrorKind;
  readonly message: string;
  readonly details?: { readonly [key: string]: Json | undefined };
}

export interface LariatErrorInit {
  readonly kind: ErrorKind;
  /** A constant in capitals, e.g. `VOLUME_NAME_TAKEN`; callers match on it, never on the message. */
  readonly code: string;
  /** What is wrong and what to do, for a person. */
  readonly message: string;
  readonly details?: ErrorRecord['details'];
  /** Kept for logs; never sent. */
  readonly cause?: unknown;
}

/** The one error class of Lariat. */
export class LariatError extends Error {
  override readonly name = 'LariatError';
  readonly kind: ErrorKind;
  readonly code: string;
  readonly details: ErrorRecord['details'];

  constructor(init: LariatErrorInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.kind = init.kind;
    this.code = init.code;
    this.details = init.details;
  }

  toRecord(): ErrorRecord {
    return {
      code: this.code,
      kind: this.kind,
      message: this.message,
      ...(this.details === undefined ? {} : { details: this.details }),
    };
  }

  static fromRecord(record: ErrorRecord): LariatError {
    return new LariatError(record);
  }
}

/** The single normaliser: anything thrown becomes a LariatError; what is not one is `internal`. */
export function toLariatError(reason: unknown): LariatError {
  if (reason instanceof LariatError) return reason;
  const message = reason instanceof Error ? reason.message : String(reason);
  return new LariatError({ kind: 'internal', code: 'INTERNAL', message, cause: reason });
}

/** True when the same call may be tried again later without a change by the caller. */
export function isRetryable(kind: ErrorKind): boolean {
  return kind === 'unavailable' || kind === 'timeout' || kind === 'conflict';
}

export function isErrorRecord(value: unknown): value is ErrorRecord {
  if (typeof value !== 'object' || value === null) return false;
  const record = value as { code?: unknown; kind?: unknown; message?: unknown };
  return (
    typeof record.code === 'string' &&
    typeof record.message === 'string' &&
    typeof record.kind === 'string' &&
    ERROR_KINDS.has(record.kind)
  );
}
