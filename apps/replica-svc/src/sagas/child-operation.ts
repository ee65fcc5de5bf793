import { type OperationView, hasCode, isEnded } from '@lariat/contracts';
import { LariatError } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';
import { type StepContext, whileWanted } from '@lariat/saga';

type Caller = Pick<StepContext<unknown, unknown>, 'client' | 'cancellation'>;

const WAIT_MS = 20_000;

/** The operation when it has ended, however long that takes. */
export async function followOperation(
  client: LariatClient,
  operation: string,
): Promise<OperationView> {
  for (;;) {
    try {
      const view = await client.request('operation.wait', { operation, timeoutMs: WAIT_MS });
      if (isEnded(view.state)) return view;
    } catch (error) {
      if (!hasCode(error, 'DEADLINE_EXCEEDED')) throw error;
    }
  }
}

/**
 * Waits for what a request with `wait: false` has begun; throws its error when it failed. When the caller is cancelled so
 * is that, and its end is waited for all the same.
 */
export async function outcomeOf({ client, cancellation }: Caller, begun: unknown): Promise<void> {
  const { operation } = begun as { readonly operation: OperationView };
  const end = followOperation(client, operation.id);
  await whileWanted({ cancellation }, end).catch(async (reason: unknown) => {
    if (!cancellation.aborted) throw reason;
    // One that is past it, or has ended, is not undone; then the caller takes its effect back.
    await client
      .request('operation.cancel', { operation: operation.id })
      .catch((error: unknown) => {
        if (!hasCode(error, 'OPERATION_NOT_CANCELLABLE')) throw error;
      });
    await end;
    throw reason;
  });
  const { error } = await end;
  if (error !== null) throw LariatError.fromRecord(error);
}
