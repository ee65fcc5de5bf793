import { lariatError } from '@lariat/contracts';
import { LariatError } from '@lariat/kernel';

/** What an import that was told to stop ends with. */
export function cancelled(signal: AbortSignal): LariatError {
  return signal.reason instanceof LariatError
    ? signal.reason
    : lariatError('OPERATION_CANCELLED', 'the import was cancelled', {}, signal.reason);
}

export function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw cancelled(signal);
}

/** The work's outcome, or the end of the import that it is for; the work itself may go on unheard. */
export async function unlessCancelled<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const ended = new AbortController();
  const end = new Promise<never>((_, reject) => {
    const give = (): void => reject(cancelled(signal));
    if (signal.aborted) give();
    else signal.addEventListener('abort', give, { signal: ended.signal });
  });
  try {
    return await Promise.race([work, end]);
  } finally {
    ended.abort();
  }
}
