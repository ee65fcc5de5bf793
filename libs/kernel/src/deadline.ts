import { LariatError } from './errors.js';

/**
 * The outcome of `work`, or a `timeout` error after `timeoutMs`. The work itself goes on: its outcome is
 * unknown to the caller, as the error's kind says.
 */
export async function withDeadline<T>(
  what: string,
  timeoutMs: number,
  work: Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expiry = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(
        new LariatError({
          kind: 'timeout',
          code: 'DEADLINE_EXCEEDED',
          message: `${what} did not finish within ${timeoutMs} ms; whether it happened is not known`,
        }),
      );
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, expiry]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves after `ms`, or at once when `signal` aborts; for poll loops and backoff, never for ordering. */
export function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}

export interface Backoff {
  readonly initialMs: number;
  readonly maxMs: number;
  readonly factor: number;
}

/** Delay before attempt `attempt` (1 = first retry): exponential, with full jitter in its upper half. */
export function backoffMs(
  backoff: Backoff,
  attempt: number,
  random: () => number = Math.random,
): number {
  const ceiling = Math.min(backoff.maxMs, backoff.initialMs * backoff.factor ** (attempt - 1));
  return Math.round(ceiling * (0.5 + random() / 2));
}
