import { type Context, type Span, type SpanOptions, type Tracer, trace } from '@opentelemetry/api';
import { type IdGenerator, RandomIdGenerator } from '@opentelemetry/sdk-trace-base';

/**
 * Gives one span the id that was reserved for it: a saga's root span is exported when the saga ends, under
 * the id that its journal has named as parent since it began, on whichever process it ends.
 */
export class ReservingIdGenerator implements IdGenerator {
  private readonly random = new RandomIdGenerator();
  private reserved: { readonly traceId: string; readonly spanId: string } | undefined;

  readonly generateTraceId = (): string => this.reserved?.traceId ?? this.random.generateTraceId();

  readonly generateSpanId = (): string => this.reserved?.spanId ?? this.random.generateSpanId();

  /** `start` must start exactly one span, synchronously. */
  withReserved<T>(ids: { readonly traceId: string; readonly spanId: string }, start: () => T): T {
    this.reserved = ids;
    try {
      return start();
    } finally {
      this.reserved = undefined;
    }
  }
}

export interface SpanIds {
  readonly traceId: string;
  readonly spanId: string;
}

/** Starts spans, and names their ids before they start. */
export interface Tracing {
  readonly tracer: Tracer;
  /** Ids for a span to come: in the trace of `parent` when it has one, else in a new trace. */
  reserve(parent: Context): SpanIds;
  /** Starts the span under its reserved ids. */
  startReserved(ids: SpanIds, name: string, options: SpanOptions, parent: Context): Span;
}

export function createTracing(tracer: Tracer, ids: ReservingIdGenerator): Tracing {
  return {
    tracer,
    reserve: (parent) => ({
      traceId: trace.getSpanContext(parent)?.traceId ?? ids.generateTraceId(),
      spanId: ids.generateSpanId(),
    }),
    startReserved: (reserved, name, options, parent) =>
      ids.withReserved(reserved, () => tracer.startSpan(name, options, parent)),
  };
}
