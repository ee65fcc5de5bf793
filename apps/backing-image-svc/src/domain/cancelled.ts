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
