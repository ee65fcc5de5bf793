import { hostname } from 'node:os';
import { withDeadline } from '@lariat/kernel';
import { context } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  type SpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { LateExporter } from './late-exporter.js';
import { ReservingIdGenerator, type Tracing, createTracing } from './reserved-ids.js';
import { SinkExporter, type SpanSink } from './sink-exporter.js';
import { NO_TELEMETRY, type TelemetryEnvironment } from './telemetry-environment.js';

/** Which copy of which service tells it. */
export interface ServiceIdentity {
  readonly serviceName: string;
  readonly serviceVersion: string;
  readonly instanceId: string;
}

export interface TelemetryOptions extends ServiceIdentity {
  /** Where recent spans are kept (embedded mode). */
  readonly sink?: SpanSink;
  /** Where else they go; default nowhere. */
  readonly environment?: TelemetryEnvironment;
}

export interface Telemetry extends Tracing {
  flush(): Promise<void>;
  shutdown(): Promise<void>;
}

/** How long a finished span may wait for company before it is sent. */
const EXPORT_DELAY_MS = 200;
/** A collector that is away does not keep a process from ending. */
const SHUTDOWN_MS = 2_000;

export function resourceOf(identity: ServiceIdentity, environment: TelemetryEnvironment): Resource {
  return resourceFromAttributes({
    'host.name': hostname(),
    ...environment.attributes,
    'service.namespace': 'lariat',
    'service.name': identity.serviceName,
    'service.version': identity.serviceVersion,
    'service.instance.id': identity.instanceId,
  });
}

/**
 * One provider a service, injected, never global: several services in one process keep their own names.
 * Only the context manager is global, as the API has it.
 */
export function createTelemetry(options: TelemetryOptions): Telemetry {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const ids = new ReservingIdGenerator();
  const { traces } = options.environment ?? NO_TELEMETRY;
  const batch = { maxExportBatchSize: 256, maxQueueSize: 8192 };
  const processors: SpanProcessor[] = [];
  if (options.sink !== undefined)
    processors.push(
      new BatchSpanProcessor(new SinkExporter(options.sink), {
        ...batch,
        scheduledDelayMillis: EXPORT_DELAY_MS,
      }),
    );
  if (traces !== undefined) {
    const exporter = new LateExporter(async () => {
      const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
      return new OTLPTraceExporter({ url: traces.url });
    });
    processors.push(
      new BatchSpanProcessor(exporter, { ...batch, scheduledDelayMillis: traces.delayMs }),
    );
  }
  const provider = new BasicTracerProvider({
    resource: resourceOf(options, options.environment ?? NO_TELEMETRY),
    idGenerator: ids,
    spanProcessors: processors,
  });
  const tracer = provider.getTracer('lariat', options.serviceVersion);
  return {
    ...createTracing(tracer, ids),
    flush: () => provider.forceFlush(),
    shutdown: () =>
      withDeadline('sending the last spans', SHUTDOWN_MS, provider.shutdown()).catch(
        // What is lost of them is no reason for the work to fail.
        () => undefined,
      ),
  };
}
