import {
  type Context,
  ROOT_CONTEXT,
  type SpanContext,
  TraceFlags,
  trace,
  isValidSpanId,
  isValidTraceId,
} from '@opentelemetry/api';

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** W3C Trace Context, level 1, of the context's span; undefined when it has none. */
export function traceparentOf(context: Context): string | undefined {
  const span = trace.getSpanContext(context);
  return span === undefined ? undefined : formatTraceparent(span);
}

export function formatTraceparent(
  span: Pick<SpanContext, 'traceId' | 'spanId' | 'traceFlags'>,
): string {
  return `00-${span.traceId}-${span.spanId}-${span.traceFlags.toString(16).padStart(2, '0')}`;
}

/** A context whose span is the remote one; the root context for a missing or malformed header. */
export function contextFromTraceparent(header: string | undefined): Context {
  const match = header === undefined ? null : TRACEPARENT.exec(header);
  if (match === null) return ROOT_CONTEXT;
  const [, traceId = '', spanId = '', flags = '00'] = match;
  // All zeros are of the right form and name nothing.
  if (!isValidTraceId(traceId) || !isValidSpanId(spanId)) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED,
    isRemote: true,
  });
}
