import { hasCode, isEnded } from '@lariat/contracts';
import type { LariatClient } from '@lariat/messaging';

/** Whether an operation is on record and has not ended: one that the store has lost is nobody's any more. */
export async function isOperationRunning(
  client: Pick<LariatClient, 'request'>,
  operation: string,
): Promise<boolean> {
  try {
    return !isEnded((await client.request('operation.get', { operation })).state);
  } catch (error) {
    if (hasCode(error, 'OPERATION_NOT_FOUND')) return false;
    throw error;
  }
}
