import type { ErrorRecord, Json } from '@lariat/kernel';
import type { Memory, SagaRecord } from './saga-record.js';

/** What happened to a saga; applying it is pure, so a replay decides the same. */
export type SagaEvent =
  | { readonly type: 'step-done'; readonly memory: Memory; readonly result: Json }
  /** The step will be run again at `retryAtMs`. */
  | { readonly type: 'step-retry'; readonly error: ErrorRecord; readonly retryAtMs: number }
  /** The step has failed for good: what was done is undone, this step's own effects first. */
  | { readonly type: 'step-failed'; readonly error: ErrorRecord }
  /** A run begins: after a wait, or on another instance. */
  | { readonly type: 'run-begun' }
  | { readonly type: 'undo-done' }
  | { readonly type: 'undo-retry'; readonly error: ErrorRecord; readonly retryAtMs: number }
  /** Not even undoing goes on: a person must look. */
  | { readonly type: 'undo-failed'; readonly error: ErrorRecord }
  | { readonly type: 'taken-over'; readonly holder: string }
  | { readonly type: 'progressed'; readonly progress: NonNullable<SagaRecord['progress']> }
  /** Null: no node keeps the step waiting any more. */
  | { readonly type: 'waits'; readonly node: string | null }
  | { readonly type: 'checkpointed'; readonly memory: Memory };

/** What the transition needs to know of the definition. */
export interface SagaShape {
  /** Names of the steps, in order. */
  readonly steps: readonly string[];
  /** What a step waits for, for a person. */
  waitsFor(stepIndex: number, record: SagaRecord): string | null;
}

function atStep(
  record: SagaRecord,
  shape: SagaShape,
  stepIndex: number,
  nowMs: number,
): SagaRecord {
  const moved = {
    ...record,
    stepIndex,
    stepName: shape.steps[stepIndex] ?? null,
    attempt: 1,
    failures: 0,
    stepSinceMs: nowMs,
    nextTryAtMs: null,
    waitingOn: null,
    lastError: null,
    progress: null,
  };
  return { ...moved, waitingFor: shape.waitsFor(stepIndex, moved) };
}

function ended(
  record: SagaRecord,
  state: 'succeeded' | 'failed' | 'stuck',
  nowMs: number,
): SagaRecord {
  return {
    ...record,
    state,
    stepName: null,
    waitingFor: null,
    waitingOn: null,
    nextTryAtMs: null,
    endedAtMs: nowMs,
  };
}

const nodeIn = ({ details }: ErrorRecord): string | null =>
  typeof details?.['node'] === 'string' ? details['node'] : null;

/**
 * The record after the event. The result of a step and the intent of the next one are the same revision, so a
 * saga of n steps is journaled in n + 1 writes.
 */
export function nextRecord(
  record: SagaRecord,
  event: SagaEvent,
  shape: SagaShape,
  nowMs: number,
): SagaRecord {
  switch (event.type) {
    case 'step-done': {
      const done = { ...record, memory: { ...record.memory, ...event.memory } };
      const following = record.stepIndex + 1;
      if (following < shape.steps.length) return atStep(done, shape, following, nowMs);
      return ended({ ...done, result: event.result }, 'succeeded', nowMs);
    }
    case 'step-retry':
    case 'undo-retry':
      return {
        ...record,
        failures: record.failures + 1,
        lastError: event.error,
        // Whom it has failed at is what the next try waits for.
        waitingOn: nodeIn(event.error),
        nextTryAtMs: event.retryAtMs,
      };
    case 'run-begun':
      return { ...record, attempt: record.attempt + 1, waitingOn: null, nextTryAtMs: null };
    case 'step-failed':
      return {
        ...atStep(record, shape, record.stepIndex, nowMs),
        state: 'undoing',
        error: event.error,
        lastError: event.error,
        waitingFor: 'what was done to be undone',
      };
    case 'undo-done':
      if (record.stepIndex === 0) return ended(record, 'failed', nowMs);
      return {
        ...atStep(record, shape, record.stepIndex - 1, nowMs),
        lastError: record.lastError,
        waitingFor: record.waitingFor,
      };
    case 'undo-failed':
      return ended({ ...record, lastError: event.error }, 'stuck', nowMs);
    case 'taken-over':
      return {
        ...record,
        holder: event.holder,
        fence: record.fence + 1,
        attempt: record.attempt + 1,
        waitingOn: null,
        nextTryAtMs: null,
      };
    case 'progressed':
      return { ...record, progress: event.progress };
    case 'waits':
      return { ...record, waitingOn: event.node };
    case 'checkpointed':
      return { ...record, memory: { ...record.memory, ...event.memory } };
  }
}
