import { type OperationView, hasCode, isEnded } from '@lariat/contracts';
import { LariatError, delay } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';
import { whileWanted } from './cancellation.js';
import type { StepContext } from './definition.js';

type Caller = Pick<StepContext<unknown, unknown>, 'client' | 'cancellation' | 'waitsOn'>;

/** Short: who answers may die meanwhile, and then nothing comes until the request times out. */
const WAIT_MS = 2_000;
const ANSWER_MS = WAIT_MS + 2_000;
const SERVICE_BACK_MS = 500;

/** The operation when it has ended, however long that takes; `waitsOn` is told of the node that keeps it waiting. */
export async function followOperation(
  client: LariatClient,
  operation: string,
  waitsOn: Caller['waitsOn'] = () => undefined,
): Promise<OperationView> {
  for (;;) {
    try {
      const request = { operation, timeoutMs: WAIT_MS };
      const view = await client.request('operation.wait', request, { timeoutMs: ANSWER_MS });
      if (isEnded(view.state)) {
        waitsOn(null);
        return view;
      }
    } catch (error) {
      if (hasCode(error, 'SERVICE_UNAVAILABLE')) await delay(SERVICE_BACK_MS);
      else if (!hasCode(error, 'DEADLINE_EXCEEDED')) throw error;
    }
    waitsOn((await findOperation(client, operation).catch(() => undefined))?.node ?? null);
  }
}

/**
 * Waits for what a request with `wait: false` has begun; throws its error when it failed. When the caller is cancelled so
 * is that, and its end is waited for all the same.
 */
export async function outcomeOf(
  { client, cancellation, waitsOn }: Caller,
  begun: unknown,
): Promise<void> {
  const { operation } = begun as { readonly operation: OperationView };
  const end = followOperation(client, operation.id, waitsOn);
  await whileWanted({ cancellation }, end).catch(async (reason: unknown) => {
    if (!cancellation.aborted) throw reason;
    await askToCancel(client, operation.id);
    await end;
    throw reason;
  });
  const { error } = await end;
  if (error !== null) throw LariatError.fromRecord(error);
}

/** For an undo: the operation is cancelled, if it can be, and has ended then. One that is not there has. */
export async function endOperation(client: LariatClient, operation: string): Promise<void> {
  const found = await findOperation(client, operation);
  if (found === undefined || isEnded(found.state)) return;
  await askToCancel(client, operation);
  await followOperation(client, operation);
}

/** The operation as it is now; undefined: it is not, or not any more, on record. */
export async function findOperation(
  client: LariatClient,
  operation: string,
): Promise<OperationView | undefined> {
  try {
    return await client.request('operation.get', { operation });
  } catch (error) {
    if (hasCode(error, 'OPERATION_NOT_FOUND')) return undefined;
    throw error;
  }
}

async function askToCancel(client: LariatClient, operation: string): Promise<void> {
  try {
    await client.request('operation.cancel', { operation });
  } catch (error) {
    // One that is past it, or has ended, is not undone; then the caller takes its effect back.
    if (!hasCode(error, 'OPERATION_NOT_CANCELLABLE')) throw error;
  }
}
