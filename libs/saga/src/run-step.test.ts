import { LariatError } from '@lariat/kernel';
import type { Versioned } from '@lariat/messaging';
import { type SpanRecord, createLog, createTelemetry } from '@lariat/telemetry';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { RETRY_BRIEFLY, type RetryPolicy } from './definition.js';
import { type SagaEvent, nextRecord } from './next-record.js';
import { runStep } from './run-step.js';
import type { SagaRecord } from './saga-record.js';
import { StepRun, type StepRunParts, type UntypedStep } from './step-run.js';

const TRACE = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) };
const RECORD = {
  ...{ id: 'op-1', kind: 'demo', subject: 'demo/one', state: 'running', memory: {} },
  ...{ stepIndex: 0, stepName: 'ask', attempt: 1, failures: 0, fence: 1, waitingFor: 'both nodes' },
  ...TRACE,
} as unknown as SagaRecord;
const START_MS = Date.UTC(2030);
const shape = { steps: ['ask'], waitsFor: () => null };
const clock = { nowMs: () => Date.now(), monotonicMs: () => Date.now() };

beforeEach(() => {
  vi.useFakeTimers({ now: START_MS });
});
afterEach(() => {
  vi.useRealTimers();
});

/** One run of a step that asks nodes; `answers` say what each does. */
function running(
  answers: Readonly<Record<string, () => Promise<never>>>,
  retry: RetryPolicy = RETRY_BRIEFLY,
  rest: () => Promise<void> = () => Promise.resolve(),
) {
  const spans: SpanRecord[] = [];
  const telemetry = createTelemetry({
    ...{ serviceName: 'test', serviceVersion: '0', instanceId: 'i' },
    sink: (records) => spans.push(...records),
  });
  const events: SagaEvent[] = [];
  const append = (latest: Versioned<SagaRecord>, event: SagaEvent) => {
    events.push(event);
    return Promise.resolve({ ...latest, value: nextRecord(latest.value, event, shape, 0) });
  };
  const log = createLog('test', 'error', () => undefined);
  const parts = {
    ...{ commands: { send: (node: string) => answers[node]?.() }, client: {}, clock, log },
    ...{ tracing: telemetry, cancellation: new AbortController().signal, append },
  } as unknown as StepRunParts;
  const step: UntypedStep = {
    ...{ name: 'ask', waitsFor: 'both nodes', timeoutMs: 5_000, retry },
    run: async (context) => {
      const asked = Object.keys(answers).map((node) =>
        context.command(node, 'replica.delete', { replica: 'r', volume: 'v' }, { key: node }),
      );
      await Promise.all(asked);
      await rest();
    },
  };
  const run = new StepRun(parts, step, { value: RECORD, revision: 1, sequence: 1 });
  const outcome = runStep({ ...parts, clock, log }, run, step, {});
  return { events, outcome, run, spans, flush: () => telemetry.flush() };
}

const never = (): Promise<never> => new Promise(() => undefined);
const refusing = (details?: Readonly<Record<string, string>>) => (): Promise<never> =>
  Promise.reject(
    new LariatError({
      kind: 'unavailable',
      code: 'NO',
      message: 'no',
      ...(details && { details }),
    }),
  );

it('tells of a node that does not answer while it still waits, on record and in the trace', async () => {
  const { events, spans, flush } = running({ n1: never });
  await vi.advanceTimersByTimeAsync(999);
  expect(events).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(events).toEqual([{ type: 'waits', node: 'n1' }]);
  await Promise.all([flush(), vi.advanceTimersByTimeAsync(1_000)]);
  expect(spans).toMatchObject([
    {
      ...{ name: 'saga.wait demo/ask', traceId: TRACE.traceId, parentSpanId: TRACE.spanId },
      ...{ startMs: START_MS, durationMs: 1_000 },
      attributes: {
        ...{ 'saga.id': 'op-1', 'saga.step': 'ask', 'saga.waiting_for': 'both nodes' },
        ...{ 'node.id': 'n1', command: 'replica.delete' },
      },
    },
  ]);
});

it('tells in the trace of a step that waits for no node', async () => {
  const { events, spans, flush } = running({}, RETRY_BRIEFLY, never);
  await vi.advanceTimersByTimeAsync(1_500);
  await Promise.all([flush(), vi.advanceTimersByTimeAsync(1_000)]);
  expect(events).toEqual([]);
  expect(spans).toMatchObject([
    { name: 'saga.wait demo/ask', attributes: { 'saga.waiting_for': 'both nodes' } },
  ]);
  expect(spans[0]?.attributes).not.toHaveProperty(['node.id']);
});

it('tells in the trace of a step that waits for something else after a slow node', async () => {
  const late = (): Promise<never> =>
    new Promise((resolve) => setTimeout(() => resolve(undefined as never), 2_000));
  const { spans, flush } = running({ n1: late }, RETRY_BRIEFLY, never);
  await vi.advanceTimersByTimeAsync(4_500);
  await Promise.all([flush(), vi.advanceTimersByTimeAsync(1_000)]);
  const waits = spans.filter(({ name }) => name === 'saga.wait demo/ask');
  expect(waits.map(({ attributes }) => attributes['node.id'])).toEqual(['n1', undefined]);
});

it('tells once of the node that keeps another operation waiting, for which the step waits', async () => {
  const { events, run, spans, flush } = running({}, RETRY_BRIEFLY, never);
  const { waitsOn } = run.context();
  waitsOn('n3');
  waitsOn('n3');
  waitsOn(null);
  await Promise.all([flush(), vi.advanceTimersByTimeAsync(1_000)]);
  expect(events).toEqual([
    { type: 'waits', node: 'n3' },
    { type: 'waits', node: null },
  ]);
  expect(spans).toMatchObject([
    { name: 'saga.wait demo/ask', attributes: { 'saga.step': 'ask', 'node.id': 'n3' } },
  ]);
});

it.each([
  ['did not answer before the step’s deadline', never, 'DEADLINE_EXCEEDED', 'n1'],
  ['refused', refusing(), 'NO', 'n1'],
  ['says that another one is the cause', refusing({ node: 'n7' }), 'NO', 'n7'],
])(
  'names the node that %s, for the next try and in the trace',
  async (_what, answer, code, node) => {
    const { outcome, spans, flush } = running({ n1: answer });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await outcome).toMatchObject({ type: 'step-retry', error: { code, details: { node } } });
    await Promise.all([flush(), vi.advanceTimersByTimeAsync(1_000)]);
    const step = spans.find(({ name }) => name === 'saga.step demo/ask');
    expect(step).toMatchObject({ attributes: { 'saga.step': 'ask', 'node.id': node } });
  },
);

it('names step and node in the error that ends the operation', async () => {
  const { outcome } = running({ n1: refusing() }, { ...RETRY_BRIEFLY, attempts: 1 });
  expect(await outcome).toMatchObject({
    type: 'step-failed',
    error: { code: 'NO', details: { step: 'ask', node: 'n1' } },
  });
});
