import { type OperationView, isEnded, lariatError } from '@lariat/contracts';
import type { LariatError } from '@lariat/kernel';
import { RETRY_UNTIL_KNOWN, type RetryPolicy, type StepContext } from './definition.js';

/** For a run that is not to be cut short: of an undo, or behind the point of no return. */
export const NEVER: AbortSignal = new AbortController().signal;

/** The first step that goes on until it has succeeded: from there on an operation can't be cancelled. */
export function pointOfNoReturn(steps: readonly { readonly retry: RetryPolicy }[]): number {
  const index = steps.findIndex(({ retry }) => retry.attempts >= RETRY_UNTIL_KNOWN.attempts);
  return index === -1 ? steps.length : index;
}

export const cancelled = (
  record: { readonly id: string; readonly kind: string },
  actor: string,
): LariatError =>
  lariatError(
    'OPERATION_CANCELLED',
    `Operation ${record.id} (${record.kind}) was cancelled by ${actor}; what it had done is undone.`,
    { operation: record.id },
  );

/** Throws OPERATION_NOT_CANCELLABLE, which says why: it has ended, is being undone, or is past that. */
export function assertCancellable({ id, kind, state, step, cancellable }: OperationView): void {
  if (cancellable) return;
  const why = isEnded(state)
    ? `has ${state}`
    : state === 'undoing'
      ? 'is being undone'
      : `is at '${step ?? 'its end'}', which is not undone any more`;
  throw lariatError('OPERATION_NOT_CANCELLABLE', `Operation ${id} (${kind}) ${why}.`, {
    operation: id,
    state,
    step,
  });
}

/**
 * The work's outcome, or OPERATION_CANCELLED as soon as the operation is to be undone. Only for work that may go on
 * unheard: what it does from then on must be in nobody's way, and be undone with the rest.
 */
export async function whileWanted<T>(
  { cancellation }: Pick<StepContext<unknown, unknown>, 'cancellation'>,
  work: Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const unwanted = new Promise<never>((_, reject) => {
    const give = (): void => reject(cancellation.reason as Error);
    if (cancellation.aborted) give();
    else cancellation.addEventListener('abort', give, { once: true, signal: ended.signal });
  });
  try {
    return await Promise.race([work, unwanted]);
  } finally {
    ended.abort();
  }
}
