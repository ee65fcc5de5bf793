import { ROOT_CONTEXT, context, trace } from '@opentelemetry/api';
import { expect, it } from 'vitest';
import { inSpan } from './in-span.js';
import { createLog } from './log.js';
import type { SpanRecord } from './span-record.js';
import { createTelemetry } from './telemetry.js';
import { contextFromTraceparent, traceparentOf } from './traceparent.js';

function recording(): { spans: SpanRecord[]; telemetry: ReturnType<typeof createTelemetry> } {
  const spans: SpanRecord[] = [];
  const telemetry = createTelemetry({
    serviceName: 'svc',
    serviceVersion: '1.0.0',
    instanceId: 'i1',
    sink: (records) => spans.push(...records),
  });
  return { spans, telemetry };
}

it('carries a trace through a header', () => {
  const header = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  expect(traceparentOf(contextFromTraceparent(header))).toBe(header);
});

it.each([
  `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`,
  undefined,
  '',
  'garbage',
  `00-${'g'.repeat(32)}-${'b'.repeat(16)}-01`,
  `00-${'a'.repeat(32)}-${'b'.repeat(16)}`,
])('begins anew for the header %j', (header) =>
  expect(trace.getSpanContext(contextFromTraceparent(header))).toBeUndefined(),
);

it('ends a root span under the ids that its children named as parent', async () => {
  const { spans, telemetry } = recording();
  const ids = telemetry.reserve(ROOT_CONTEXT);
  const parent = contextFromTraceparent(`00-${ids.traceId}-${ids.spanId}-01`);
  telemetry.tracer.startSpan('child', {}, parent).end();
  telemetry.startReserved(ids, 'root', { startTime: Date.now() - 1000 }, ROOT_CONTEXT).end();
  await telemetry.shutdown();
  const root = spans.find(({ name }) => name === 'root');
  const child = spans.find(({ name }) => name === 'child');
  expect(root).toMatchObject({ ...ids, parentSpanId: null, service: 'svc', instance: 'i1' });
  expect(root?.durationMs).toBeGreaterThan(500);
  expect(child).toMatchObject({ traceId: ids.traceId, parentSpanId: ids.spanId });
});

it('marks a span whose work throws, and throws it on', async () => {
  const { spans, telemetry } = recording();
  const failing = inSpan(telemetry.tracer, 'work', {}, ROOT_CONTEXT, async (span) => {
    expect(trace.getSpanContext(context.active())?.spanId).toBe(span.spanContext().spanId);
    throw Object.assign(new Error('broken'), { code: 'BROKEN' });
  });
  await expect(failing).rejects.toThrow('broken');
  await telemetry.shutdown();
  expect(spans).toMatchObject([
    { name: 'work', error: 'broken', attributes: { 'error.type': 'BROKEN' } },
  ]);
});

it('logs one JSON line an event, with the error’s cause and without what is below its level', () => {
  const lines: string[] = [];
  const log = createLog('svc', 'info', (line) => lines.push(line));
  log.debug('quiet');
  log.error('loud', { error: new Error('outer', { cause: new Error('inner') }), n: 1 });
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    level: 'error',
    service: 'svc',
    message: 'loud',
    n: 1,
    error: { message: 'outer', cause: { message: 'inner' } },
  });
});
