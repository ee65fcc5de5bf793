import { expect, it } from 'vitest';
import { type SagaEvent, type SagaShape, nextRecord } from './next-record.js';
import type { SagaRecord } from './saga-record.js';

const shape: SagaShape = { steps: ['one', 'two'], waitsFor: (index) => `step ${index}` };
const error = { code: 'X', kind: 'internal', message: 'x' } as const;

const begun: SagaRecord = {
  id: 'op-1',
  kind: 'k',
  subject: 's',
  input: null,
  memory: {},
  state: 'running',
  stepIndex: 0,
  stepName: 'one',
  attempt: 1,
  failures: 0,
  stepSinceMs: 0,
  nextTryAtMs: null,
  waitingFor: 'step 0',
  progress: null,
  lastError: null,
  error: null,
  result: null,
  holder: 'a',
  fence: 1,
  traceId: 't',
  spanId: 's',
  traceparent: null,
  actor: 'x',
  startedAtMs: 0,
  endedAtMs: null,
};

const play = (...events: readonly SagaEvent[]): SagaRecord =>
  events.reduce((record, event, index) => nextRecord(record, event, shape, index + 1), begun);

const done: SagaEvent = { type: 'step-done', memory: { a: 1 }, result: 'r' };

it('journals the result of a step and the intent of the next in one revision', () => {
  expect(play(done)).toMatchObject({
    memory: { a: 1 },
    stepIndex: 1,
    stepName: 'two',
    attempt: 1,
    waitingFor: 'step 1',
    stepSinceMs: 1,
  });
});

it('ends with the result of the last step', () => {
  expect(play(done, done)).toMatchObject({
    state: 'succeeded',
    result: 'r',
    stepName: null,
    endedAtMs: 2,
  });
});

it('undoes from the step that failed back to the first, and fails with the first error', () => {
  const failed = play(done, { type: 'step-failed', error });
  expect(failed).toMatchObject({ state: 'undoing', stepIndex: 1, error });
  const back = nextRecord(failed, { type: 'undo-done' }, shape, 9);
  expect(back).toMatchObject({ state: 'undoing', stepIndex: 0 });
  expect(nextRecord(back, { type: 'undo-done' }, shape, 10)).toMatchObject({
    state: 'failed',
    error,
    endedAtMs: 10,
  });
});

it('waits before it tries again, and counts every run', () => {
  const waiting = play({ type: 'step-retry', error, retryAtMs: 50 });
  expect(waiting).toMatchObject({ nextTryAtMs: 50, lastError: error, attempt: 1 });
  expect(nextRecord(waiting, { type: 'run-begun' }, shape, 50)).toMatchObject({
    nextTryAtMs: null,
    attempt: 2,
  });
});

it('names the node at which it failed until it tries again', () => {
  const refused = { ...error, details: { node: 'n2' } };
  const waiting = play({ type: 'step-retry', error: refused, retryAtMs: 50 });
  expect(waiting).toMatchObject({ waitingOn: 'n2', nextTryAtMs: 50 });
  expect(nextRecord(waiting, { type: 'run-begun' }, shape, 50)).toMatchObject({ waitingOn: null });
});

it('raises the fence when it changes hands', () => {
  expect(play({ type: 'taken-over', holder: 'b' })).toMatchObject({
    holder: 'b',
    fence: 2,
    attempt: 2,
  });
});

it('keeps what a long step has found out', () => {
  const at = play(
    { type: 'checkpointed', memory: { a: 2 } },
    { type: 'progressed', progress: { done: 1, total: 2, unit: 'clusters' } },
  );
  expect(at).toMatchObject({ memory: { a: 2 }, progress: { done: 1 }, stepIndex: 0 });
});

it('is stuck when not even undoing goes on', () => {
  expect(play({ type: 'step-failed', error }, { type: 'undo-failed', error })).toMatchObject({
    state: 'stuck',
  });
});

it('counts a dead instance as a run, not as a failure of the step', () => {
  const retry: SagaEvent = { type: 'step-retry', error, retryAtMs: 9 };
  const record = play(
    retry,
    { type: 'taken-over', holder: 'b' },
    { type: 'taken-over', holder: 'c' },
  );
  expect(record).toMatchObject({
    attempt: 3,
    failures: 1,
    fence: 3,
    holder: 'c',
    nextTryAtMs: null,
  });
});
