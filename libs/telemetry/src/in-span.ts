import {
  type Context,
  type Span,
  type SpanOptions,
  SpanStatusCode,
  type Tracer,
  context,
  trace,
} from '@opentelemetry/api';
import { withoutSecrets } from './without-secrets.js';

function errorType(reason: unknown): string {
  if (typeof reason === 'object' && reason !== null && 'code' in reason) return String(reason.code);
  return reason instanceof Error ? reason.name : 'error';
}

export function failSpan(span: Span, reason: unknown): void {
  span.setAttribute('error.type', errorType(reason));
  span.setStatus({
    code: SpanStatusCode.ERROR,
    message: withoutSecrets(reason instanceof Error ? reason.message : String(reason)),
  });
}

/** Runs `work` inside a new span, which ends with it and is marked when it throws. */
export async function inSpan<T>(
  tracer: Tracer,
  name: string,
  options: SpanOptions,
  parent: Context,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  const span = tracer.startSpan(name, options, parent);
  try {
    return await context.with(trace.setSpan(parent, span), () => work(span));
  } catch (error) {
    failSpan(span, error);
    throw error;
  } finally {
    span.end();
  }
}
