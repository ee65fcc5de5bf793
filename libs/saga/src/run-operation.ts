import type { OperationAccepted } from '@lariat/contracts';
import { type Json, LariatError } from '@lariat/kernel';
import { startAfterOwnWork } from './own-work.js';
import { type SagaRecord, toOperationView } from './saga-record.js';
import type { SagaRunner } from './saga-runner.js';

export interface OperationRequest {
  readonly kind: string;
  readonly actor: string;
  readonly requestId: string | undefined;
  /** False: answer with the operation as soon as it is on record. */
  readonly wait: boolean | undefined;
  /** Checks what can be checked at once, and gives the saga's input. Not called again for a request that is known. */
  readonly prepare: () => Json | Promise<Json>;
}

/** Longer than any caller waits; the operation goes on when it has passed. */
const WAIT_TIMEOUT_MS = 10 * 60_000;

/**
 * Starts an operation, or joins it, and answers with its result unless the caller does not want to wait. The same
 * idempotency key gives the same answer, also when the operation has changed what `prepare` would look at.
 */
export async function runOperation<T>(
  runner: Pick<SagaRunner, 'known' | 'find' | 'start' | 'wait'>,
  request: OperationRequest,
): Promise<T | OperationAccepted> {
  const { kind, actor, requestId, wait } = request;
  const known = await runner.known(kind, requestId);
  const start = async () =>
    runner.start({ kind, actor, requestId, input: await request.prepare() });
  const started = known ?? (await startAfterOwnWork(runner, actor, start));
  if (wait === false) return { operation: toOperationView(started) };
  const ended = await runner.wait(started.id, WAIT_TIMEOUT_MS);
  if (ended.error !== null) throw failureOf(ended, ended.error);
  // Recorded by the saga of this very kind: its definition's result is the request's answer.
  return ended.result as T;
}

function failureOf(record: SagaRecord, error: NonNullable<SagaRecord['error']>): LariatError {
  const stuck =
    record.state === 'stuck' ? ' What was done could not be undone: see the operation.' : '';
  return LariatError.fromRecord({
    ...error,
    message: `${error.message}${stuck}`,
    details: { ...error.details, operation: record.id, traceId: record.traceId },
  });
}
