import {
  type Clock,
  type ErrorRecord,
  type Json,
  type LariatError,
  backoffMs,
  isRetryable,
  toLariatError,
  withDeadline,
} from '@lariat/kernel';
import { natsAwayAsUnavailable } from '@lariat/messaging';
import { type Log, type Tracing, inSpan } from '@lariat/telemetry';
import type { RetryPolicy, SagaDefinition } from './definition.js';
import type { SagaEvent } from './next-record.js';
import type { Memory } from './saga-record.js';
import { attributesOf, rootContext } from './saga-spans.js';
import { type StepRun, type UntypedStep, known } from './step-run.js';

export interface StepSurroundings {
  readonly tracing: Tracing;
  readonly clock: Clock;
  readonly log: Log;
}

/** What an undo is tried before somebody has to look at it. */
const UNDO_RETRY: RetryPolicy = {
  attempts: 60,
  backoff: { initialMs: 200, maxMs: 10_000, factor: 2 },
};

/**
 * The fewest runs of a step that JetStream does not answer: some 40 s with the pauses of RETRY_BRIEFLY. A stream whose leader
 * has died refuses each write at once, until another one is elected: after some ten seconds.
 */
const UNANSWERED_ATTEMPTS = 25;

/** Runs a step, forward or back, under its deadline and in its span; what came of it is an event for the record. */
export async function runStep(
  parts: StepSurroundings,
  run: StepRun,
  step: UntypedStep,
  definition: Pick<SagaDefinition<Json, Memory>, 'result'>,
): Promise<SagaEvent> {
  const value = run.record;
  const undoing = value.state === 'undoing';
  const context = run.context();
  const what = `step '${step.name}' of ${value.kind}`;
  const attributes = {
    ...attributesOf(value),
    'saga.step': step.name,
    'saga.attempt': value.attempt,
  };
  try {
    return await inSpan<SagaEvent>(
      parts.tracing.tracer,
      `${undoing ? 'saga.compensate' : 'saga.step'} ${value.kind}/${step.name}`,
      { attributes },
      rootContext(value),
      async (span) => {
        try {
          if (undoing) {
            await withDeadline(what, step.timeoutMs, step.undo?.(context) ?? Promise.resolve());
            return { type: 'undo-done' };
          }
          const found = known((await withDeadline(what, step.timeoutMs, step.run(context))) ?? {});
          const result = definition.result?.(value.input, { ...value.memory, ...found }) ?? null;
          return { type: 'step-done', memory: found, result };
        } catch (reason) {
          const node = toLariatError(reason).details?.['node'] ?? run.nodeBehind(reason);
          if (typeof node === 'string') span.setAttribute('node.id', node);
          throw reason;
        }
      },
    );
  } catch (reason) {
    return failure(parts, run, step, reason);
  }
}

/** Tried again while it may pass and the policy allows; else it is undone, or, of an undo, left for somebody to look at. */
function failure(
  { clock, log }: StepSurroundings,
  run: StepRun,
  step: UntypedStep,
  reason: unknown,
): SagaEvent {
  const value = run.record;
  const error = toLariatError(natsAwayAsUnavailable(reason));
  const told = withNode(error, run.nodeBehind(reason));
  const undoing = value.state === 'undoing';
  const policy = undoing ? UNDO_RETRY : step.retry;
  log[error.kind === 'internal' ? 'error' : 'info']('saga step failed', {
    operation: value.id,
    kind: value.kind,
    step: step.name,
    undoing,
    error: reason,
  });
  const mayPass = isRetryable(error.kind) && policy.final?.some((c) => c === error.code) !== true;
  const again = undoing || mayPass || policy.attempts === Number.POSITIVE_INFINITY;
  const failures = value.failures + 1;
  const fewest = mayPass && error.code === 'NATS_UNAVAILABLE' ? UNANSWERED_ATTEMPTS : 0;
  if (again && failures < Math.max(policy.attempts, fewest)) {
    const retryAtMs = clock.nowMs() + backoffMs(policy.backoff, failures);
    return { type: undoing ? 'undo-retry' : 'step-retry', error: told, retryAtMs };
  }
  if (undoing) return { type: 'undo-failed', error: told };
  // The operation's own step is another one by the time that somebody asks why it failed.
  return { type: 'step-failed', error: { ...told, details: { ...told.details, step: step.name } } };
}

/** The error says which node it is about (invariant 12). */
function withNode(error: LariatError, node: string | undefined): ErrorRecord {
  const record = error.toRecord();
  return node === undefined ? record : { ...record, details: { node, ...record.details } };
}
