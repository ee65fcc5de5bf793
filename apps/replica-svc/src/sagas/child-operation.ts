import { type OperationView, hasCode, isEnded } from '@lariat/contracts';
import { LariatError } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';

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

/** Waits for what a request with `wait: false` has begun; throws its error when it failed. */
export async function outcomeOf(client: LariatClient, begun: unknown): Promise<void> {
  const { operation } = begun as { readonly operation: OperationView };
  const { error } = await followOperation(client, operation.id);
  if (error !== null) throw LariatError.fromRecord(error);
}
