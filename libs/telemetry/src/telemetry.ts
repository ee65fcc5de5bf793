import { context } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { ReservingIdGenerator, type Tracing, createTracing } from './reserved-ids.js';
import { SinkExporter, type SpanSink } from './sink-exporter.js';

export interface TelemetryOptions {
  readonly serviceName: string;
  readonly serviceVersion: string;
  readonly instanceId: string;
  /** Where recent spans are kept (embedded mode). */
  readonly sink?: SpanSink;
  /** Base URL of an OTLP/HTTP collector, e.g. `http://127.0.0.1:4318`. */
  readonly otlpEndpoint?: string;
}

export interface Telemetry extends Tracing {
  flush(): Promise<void>;
  shutdown(): Promise<void>;
}

/** How long a finished span may wait for company before it is sent. */
const EXPORT_DELAY_MS = 200;

/**
 * One provider a service, injected, never global: several services in one process keep their own names.
 * Only the context manager is global, as the API has it.
 */
export function createTelemetry(options: TelemetryOptions): Telemetry {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const ids = new ReservingIdGenerator();
  const batch = {
    scheduledDelayMillis: EXPORT_DELAY_MS,
    maxExportBatchSize: 256,
    maxQueueSize: 8192,
  };
  const processors: SpanProcessor[] = [];
  if (options.sink !== undefined)
    processors.push(new BatchSpanProcessor(new SinkExporter(options.sink), batch));
  if (options.otlpEndpoint !== undefined) {
    const url = `${options.otlpEndpoint.replace(/\/$/, '')}/v1/traces`;
    processors.push(new BatchSpanProcessor(new OTLPTraceExporter({ url }), batch));
  }
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({
      'service.name': options.serviceName,
      'service.version': options.serviceVersion,
      'service.instance.id': options.instanceId,
    }),
    idGenerator: ids,
    spanProcessors: processors,
  });
  const tracer = provider.getTracer('lariat', options.serviceVersion);
  return {
    ...createTracing(tracer, ids),
    flush: () => provider.forceFlush(),
    shutdown: () => provider.shutdown(),
  };
}
