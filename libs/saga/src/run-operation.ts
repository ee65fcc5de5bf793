import type { OperationAccepted } from '@lariat/contracts';
import { type Json, LariatError } from '@lariat/kernel';
import { type SagaRecord, toOperationView } from './saga-record.js';
import type { SagaRunner } from './saga-runner.js';

export interface OperationRequest {
  readonly kind: string;
  readonly input: Json;
  readonly actor: string;
  readonly requestId: string | undefined;
  /** False: answer with the operation as soon as it is on record. */
  readonly wait: boolean | undefined;
}

/** Longer than any caller waits; the operation goes on when it has passed. */
const WAIT_TIMEOUT_MS = 10 * 60_000;

/** Starts an operation, or joins it, and waits for its end unless the caller does not want to. */
export async function runOperation<T>(
  runner: SagaRunner,
  request: OperationRequest,
  answer: (record: SagaRecord) => T | Promise<T>,
): Promise<T | OperationAccepted> {
  const started = await runner.start(request);
  if (request.wait === false) return { operation: toOperationView(started) };
  const ended = await runner.wait(started.id, WAIT_TIMEOUT_MS);
  if (ended.error !== null) throw failureOf(ended, ended.error);
  return answer(ended);
}

function failureOf(record: SagaRecord, error: NonNullable<SagaRecord['error']>): LariatError {
  const stuck = record.state === 'stuck' ? ' What was done could not be undone: see the operation.' : '';
  return LariatError.fromRecord({
    ...error,
    message: `${error.message}${stuck}`,
    details: { ...error.details, operation: record.id, traceId: record.traceId },
  });
}
