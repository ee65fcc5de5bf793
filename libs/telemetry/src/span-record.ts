/** A finished span as plain data: what is sent over NATS and what `lariat trace` reads. */
export interface SpanRecord {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | null;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client' | 'producer' | 'consumer';
  readonly service: string;
  readonly instance: string;
  /** Milliseconds since 1970, with a fraction. */
  readonly startMs: number;
  readonly durationMs: number;
  readonly error: string | null;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
}
