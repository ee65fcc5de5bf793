import { SpanKind, SpanStatusCode, type Span, type Tracer } from '@opentelemetry/api';
import { expect, test } from 'vitest';
import { SpdkError } from './json-rpc/spdk-error.js';
import { tracedCalls } from './tracing.js';

interface RecordedSpan {
  readonly name: string;
  readonly kind: SpanKind | undefined;
  readonly attributes: Record<string, unknown>;
  status?: { code: SpanStatusCode };
  ended: number;
}

function recordingTracer(): { tracer: Tracer; spans: RecordedSpan[] } {
  const spans: RecordedSpan[] = [];
  const tracer = {
    startSpan: (
      name: string,
      options: { kind?: SpanKind; attributes?: Record<string, unknown> },
    ) => {
      const recorded: RecordedSpan = {
        name,
        kind: options.kind,
        attributes: { ...options.attributes },
        ended: 0,
      };
      spans.push(recorded);
      return {
        setAttribute: (key: string, value: unknown) => (recorded.attributes[key] = value),
        setStatus: (status: { code: SpanStatusCode }) => (recorded.status = status),
        end: () => (recorded.ended += 1),
      } as unknown as Span;
    },
  };
  return { tracer: tracer as unknown as Tracer, spans };
}

const CALL = {
  method: 'bdev_get_bdevs',
  params: { name: 'secret' },
  id: 7,
  socketPath: '/run/t.sock',
};

test('a call is one CLIENT span with the JSON-RPC attributes and no parameters', () => {
  const { tracer, spans } = recordingTracer();
  tracedCalls(tracer).onCall(CALL).end({ result: [] });
  expect(spans).toEqual([
    {
      name: 'spdk bdev_get_bdevs',
      kind: SpanKind.CLIENT,
      attributes: {
        'rpc.system.name': 'jsonrpc',
        'rpc.method': 'bdev_get_bdevs',
        'jsonrpc.request.id': '7',
        'server.address': '/run/t.sock',
      },
      ended: 1,
    },
  ]);
});

test('a refused call carries its codes', () => {
  const { tracer, spans } = recordingTracer();
  tracedCalls(tracer)
    .onCall(CALL)
    .end({ error: new SpdkError('bdev_get_bdevs', -19, 'No such device') });
  expect(spans[0]?.attributes).toMatchObject({
    'rpc.status_code': -19,
    'error.type': 'SPDK_NO_DEVICE',
  });
  expect(spans[0]?.status?.code).toBe(SpanStatusCode.ERROR);
  expect(spans[0]?.ended).toBe(1);
});
