import { expect, it } from 'vitest';
import { NO_TELEMETRY, readTelemetryEnvironment } from './telemetry-environment.js';

it.each([{}, { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }, { OTEL_METRICS_EXPORTER: 'none' }])(
  'sends nothing with %j',
  (env) => expect(readTelemetryEnvironment(env)).toEqual(NO_TELEMETRY),
);

it('sends traces and metrics to one endpoint', () =>
  expect(readTelemetryEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318/' })).toEqual({
    attributes: {},
    traces: { url: 'http://c:4318/v1/traces', delayMs: 1_000 },
    metrics: { url: 'http://c:4318/v1/metrics', intervalMs: 60_000 },
  }));

it('takes the endpoint of a signal as it is, before the one for all', () =>
  expect(
    readTelemetryEnvironment({
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318',
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://t/in',
      OTEL_METRICS_EXPORTER: 'prometheus',
      OTEL_EXPORTER_PROMETHEUS_PORT: '0',
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=a%2Cb, k=v',
    }),
  ).toEqual({
    attributes: { 'deployment.environment.name': 'a,b', k: 'v' },
    traces: { url: 'https://t/in', delayMs: 50 },
    scrape: { host: 'localhost', port: 0 },
  }));

it('sends to this host’s collector when an exporter is named and no endpoint', () =>
  expect(readTelemetryEnvironment({ OTEL_TRACES_EXPORTER: 'otlp' }).traces?.url).toBe(
    'http://localhost:4318/v1/traces',
  ));

it('sends nothing when it is disabled, whatever else is set', () =>
  expect(
    readTelemetryEnvironment({
      OTEL_SDK_DISABLED: 'TRUE',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318',
    }),
  ).toEqual(NO_TELEMETRY));

it.each([
  ['OTEL_TRACES_EXPORTER', 'jaeger', 'otlp'],
  ['OTEL_METRICS_EXPORTER', 'otlp,none', 'prometheus'],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318', 'http'],
  ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc', 'Set it to http/json'],
  ['OTEL_METRIC_EXPORT_INTERVAL', '0', 'milliseconds'],
  ['OTEL_EXPORTER_PROMETHEUS_PORT', '70000', '65535'],
  ['OTEL_RESOURCE_ATTRIBUTES', 'novalue', 'key=value'],
  ['OTEL_RESOURCE_ATTRIBUTES', 'key=%zz', 'hex'],
])('refuses %s=%s, and says what may stand there', (variable, value, instead) => {
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318',
    ...(variable.includes('PROMETHEUS') ? { OTEL_METRICS_EXPORTER: 'prometheus' } : {}),
    [variable]: value,
  };
  expect(() => readTelemetryEnvironment(env)).toThrow(
    expect.objectContaining({
      code: 'TELEMETRY_CONFIG_INVALID',
      kind: 'invalid',
      message: expect.stringContaining(instead) as unknown,
    }),
  );
});
