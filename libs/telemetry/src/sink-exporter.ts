import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { type ExportResult, ExportResultCode, hrTimeToMilliseconds } from '@opentelemetry/core';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-base';
import type { SpanRecord } from './span-record.js';

/** Takes finished spans; a sink that throws loses them, never the work that they describe. */
export type SpanSink = (spans: readonly SpanRecord[]) => void;

const KIND_NAMES: Readonly<Record<SpanKind, SpanRecord['kind']>> = {
  [SpanKind.INTERNAL]: 'internal',
  [SpanKind.SERVER]: 'server',
  [SpanKind.CLIENT]: 'client',
  [SpanKind.PRODUCER]: 'producer',
  [SpanKind.CONSUMER]: 'consumer',
};

function toAttributes(span: ReadableSpan): SpanRecord['attributes'] {
  const plain: Record<string, string | number | boolean> = {};
  for (const [key, value] of Object.entries(span.attributes)) {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      plain[key] = value;
    else if (value !== undefined) plain[key] = JSON.stringify(value);
  }
  return plain;
}

export function toSpanRecord(span: ReadableSpan): SpanRecord {
  const { traceId, spanId } = span.spanContext();
  const attributes = toAttributes(span);
  return {
    traceId,
    spanId,
    parentSpanId: span.parentSpanContext?.spanId ?? null,
    name: span.name,
    kind: KIND_NAMES[span.kind],
    service: String(span.resource.attributes['service.name'] ?? 'unknown'),
    instance: String(span.resource.attributes['service.instance.id'] ?? ''),
    startMs: hrTimeToMilliseconds(span.startTime),
    durationMs: hrTimeToMilliseconds(span.duration),
    error:
      span.status.code === SpanStatusCode.ERROR
        ? (span.status.message ?? String(attributes['error.type'] ?? 'error'))
        : null,
    attributes,
    links: span.links.map((link) => ({
      traceId: link.context.traceId,
      spanId: link.context.spanId,
    })),
  };
}

/** Hands finished spans to a sink as plain records. */
export class SinkExporter implements SpanExporter {
  constructor(private readonly sink: SpanSink) {}

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    try {
      this.sink(spans.map(toSpanRecord));
      done({ code: ExportResultCode.SUCCESS });
    } catch (error) {
      done({
        code: ExportResultCode.FAILED,
        error: error instanceof Error ? error : new Error(String(error)),
      });
    }
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}
