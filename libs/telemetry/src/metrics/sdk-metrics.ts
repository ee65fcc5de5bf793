import { withDeadline } from '@lariat/kernel';
import type { Counter, Histogram, ObservableResult } from '@opentelemetry/api';
import {
  MeterProvider,
  type MetricReader,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import type { Log } from '../log.js';
import type { TelemetryEnvironment } from '../telemetry-environment.js';
import { type ServiceIdentity, resourceOf } from '../telemetry.js';
import { goneAsZero } from './gone-as-zero.js';
import { METRICS, type Metric } from './metric-table.js';
import type { Metrics, Reading, Sample } from './metrics.js';
import { ScrapeReader, serveMetrics } from './scrape-endpoint.js';

/** From a call of the target to a rebuild of an hour. */
const SECONDS_BOUNDARIES = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600,
];
/** A collector that is away does not keep a process from ending. */
const SHUTDOWN_MS = 2_000;

async function otlpReader({ url, intervalMs }: { url: string; intervalMs: number }) {
  const { OTLPMetricExporter } = await import('@opentelemetry/exporter-metrics-otlp-http');
  return new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter({ url }),
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: Math.min(intervalMs, 10_000),
  });
}

export async function startMetrics(
  identity: ServiceIdentity,
  environment: TelemetryEnvironment,
  log: Log,
): Promise<Metrics> {
  const readers: MetricReader[] = [];
  if (environment.metrics !== undefined) readers.push(await otlpReader(environment.metrics));
  let stopServing: () => Promise<void> = () => Promise.resolve();
  if (environment.scrape !== undefined) {
    const reader = new ScrapeReader();
    readers.push(reader);
    stopServing = await serveMetrics(environment.scrape, reader, log);
  }
  const resource = resourceOf(identity, environment);
  const provider = new MeterProvider({ resource, readers });
  const meter = provider.getMeter('lariat', identity.serviceVersion);
  const counters = new Map<string, Counter>();
  const histograms = new Map<string, Histogram>();
  for (const metric of Object.values<Metric>(METRICS)) {
    const options = { unit: metric.unit, description: metric.description };
    if (metric.kind === 'counter')
      counters.set(metric.name, meter.createCounter(metric.name, options));
    if (metric.kind === 'histogram') {
      const advice = { explicitBucketBoundaries: SECONDS_BOUNDARIES };
      histograms.set(metric.name, meter.createHistogram(metric.name, { ...options, advice }));
    }
  }
  return {
    add: (metric, attributes, by = 1) => counters.get(metric.name)?.add(by, attributes),
    record: (metric, value, attributes) => histograms.get(metric.name)?.record(value, attributes),
    observe: (metric, read) => {
      const options = { unit: metric.unit, description: metric.description };
      const instrument =
        metric.kind === 'gauge'
          ? meter.createObservableGauge(metric.name, options)
          : meter.createObservableCounter(metric.name, options);
      const complete: Complete<typeof metric> =
        metric.kind === 'gauge' ? goneAsZero(() => performance.now()) : (samples) => samples;
      const callback = (result: ObservableResult): Promise<void> =>
        tell(result, read, complete, (error) =>
          log.debug('metric not read', { metric: metric.name, error }),
        );
      instrument.addCallback(callback);
      return () => instrument.removeCallback(callback);
    },
    shutdown: async () => {
      await withDeadline('sending the last metrics', SHUTDOWN_MS, provider.shutdown()).catch(
        // What is lost of them is no reason for the work to fail.
        () => undefined,
      );
      await stopServing();
    },
  };
}

type Complete<M extends Metric> = (samples: readonly Sample<M>[]) => readonly Sample<M>[];

async function tell<M extends Metric>(
  result: ObservableResult,
  read: Reading<M>,
  complete: Complete<M>,
  failed: (error: unknown) => void,
): Promise<void> {
  try {
    for (const { value, attributes } of complete(await read())) result.observe(value, attributes);
  } catch (error) {
    failed(error);
  }
}
