import { once } from 'node:events';
import { createServer } from 'node:http';
import { OtlpReceiver } from '@lariat/testing';
import { expect, it, onTestFinished } from 'vitest';
import { createLog } from '../log.js';
import { readTelemetryEnvironment } from '../telemetry-environment.js';
import { METRICS, type Metric, prometheusName } from './metric-table.js';
import { type Metrics, NO_METRICS, allObservations, countBy } from './metrics.js';
import { openMetrics } from './open-metrics.js';

const identity = (serviceName: string) => ({
  serviceName,
  serviceVersion: '1.0.0',
  instanceId: 'i1',
});

function portIn(lines: readonly string[]): number {
  const served = lines.map((line) => JSON.parse(line) as { message: string; port?: number });
  return served.find(({ message }) => message === 'metrics are served')?.port ?? 0;
}

function measure(metrics: Metrics): void {
  metrics.add(METRICS.redeliveries, { stream: 'S' }, 2);
  metrics.record(METRICS.requestDuration, 0.02, { request: 'volume.get', outcome: 'ok' });
  metrics.observe(METRICS.volumes, () =>
    countBy(['a', 'a', 'b'], (state) => ({ state, robustness: 'healthy' })),
  );
  metrics.observe(METRICS.queueAge, () => Promise.reject(new Error('no NATS')));
}

it('opens nothing where nothing is configured', async () => {
  const metrics = await openMetrics(
    identity('svc'),
    readTelemetryEnvironment({}),
    createLog('svc'),
  );
  expect(metrics).toBe(NO_METRICS);
});

it('sends the last measurements when it is shut down, and all but what could not be read', async () => {
  const receiver = await OtlpReceiver.start();
  onTestFinished(() => receiver.close());
  const environment = readTelemetryEnvironment({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint });
  const metrics = await openMetrics(identity('svc'), environment, createLog('svc'));
  measure(metrics);
  await metrics.shutdown();
  // The end of a process waits for 2 s, which may be too little on a busy machine; what is sent comes all the same.
  await receiver.until('metrics', 15_000, () => receiver.metrics.length > 0);
  const byName = new Map(receiver.metrics.map((metric) => [metric.name, metric]));
  expect(byName.get('lariat.message.redeliveries')).toMatchObject({
    kind: 'counter',
    unit: '{message}',
    service: 'svc',
    points: [{ attributes: { stream: 'S' }, value: 2 }],
  });
  expect(byName.get('lariat.request.duration')).toMatchObject({
    kind: 'histogram',
    unit: 's',
    points: [{ attributes: { request: 'volume.get', outcome: 'ok' }, value: 1, sum: 0.02 }],
  });
  expect(byName.get('lariat.volumes')?.points).toEqual([
    { attributes: { state: 'a', robustness: 'healthy' }, value: 2 },
    { attributes: { state: 'b', robustness: 'healthy' }, value: 1 },
  ]);
  expect(byName.get('lariat.queue.oldest.age')?.points ?? []).toEqual([]);
});

it('serves the metrics of two services of a process at one address', async () => {
  const lines: string[] = [];
  const log = createLog('test', 'info', (line) => lines.push(line));
  const environment = readTelemetryEnvironment({
    OTEL_METRICS_EXPORTER: 'prometheus',
    OTEL_EXPORTER_PROMETHEUS_PORT: '0',
    OTEL_EXPORTER_PROMETHEUS_HOST: '127.0.0.1',
  });
  const [one, other] = await Promise.all(
    ['one', 'other'].map((name) => openMetrics(identity(name), environment, log)),
  );
  expect(lines).toHaveLength(1);
  measure(one ?? NO_METRICS);
  other?.add(METRICS.redeliveries, { stream: 'a "quoted"\\name' });
  const base = `http://127.0.0.1:${portIn(lines)}`;
  const response = await fetch(`${base}/metrics`);
  expect(response.headers.get('content-type')).toContain('version=0.0.4');
  const text = await response.text();
  expect(text.match(/^# TYPE lariat_message_redeliveries_total counter$/gm)).toHaveLength(1);
  expect(text).toContain(
    'lariat_message_redeliveries_total{stream="S",service_name="one",service_instance_id="i1"} 2\n',
  );
  expect(text).toContain('{stream="a \\"quoted\\"\\\\name",service_name="other"');
  expect(text).toMatch(/^lariat_request_duration_seconds_bucket\{.*,le="0.01"\} 0$/m);
  expect(text).toMatch(/^lariat_request_duration_seconds_bucket\{.*,le="0.025"\} 1$/m);
  expect(text).toMatch(/^lariat_request_duration_seconds_bucket\{.*,le="\+Inf"\} 1$/m);
  expect(text).toMatch(/^lariat_request_duration_seconds_sum\{.*\} 0.02$/m);
  expect((await fetch(`${base}/`)).status).toBe(404);
  expect((await fetch(`${base}/metrics`, { method: 'POST' })).status).toBe(405);
  await one?.shutdown();
  expect(await (await fetch(`${base}/metrics`)).text()).not.toContain('service_name="one"');
  await other?.shutdown();
  await expect(fetch(`${base}/metrics`)).rejects.toThrow('fetch failed');
});

it('tells what is not there any more as 0', async () => {
  const lines: string[] = [];
  const environment = readTelemetryEnvironment({
    OTEL_METRICS_EXPORTER: 'prometheus',
    OTEL_EXPORTER_PROMETHEUS_PORT: '0',
    OTEL_EXPORTER_PROMETHEUS_HOST: '127.0.0.1',
  });
  const log = createLog('test', 'info', (line) => lines.push(line));
  const metrics = await openMetrics(identity('svc'), environment, log);
  onTestFinished(() => metrics.shutdown());
  let state = 'down';
  metrics.observe(METRICS.nodes, () => [
    { value: 1, attributes: { 'node.id': 'n1', state, duty: 'active' } },
  ]);
  const asked = async (): Promise<readonly string[]> => {
    const text = await (await fetch(`http://127.0.0.1:${portIn(lines)}/metrics`)).text();
    return [...text.matchAll(/^lariat_nodes\{.*?state="(\w+)".*\} (\d)$/gm)].map(
      ([, was = '', value = '']) => `${was} ${value}`,
    );
  };
  expect(await asked()).toEqual(['down 1']);
  state = 'ready';
  expect((await asked()).toSorted()).toEqual(['down 0', 'ready 1']);
});

it('tells on one line what to do about a port that is taken, and goes on', async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => {
    holder.close();
  });
  await once(holder, 'listening');
  const address = holder.address();
  const port = typeof address === 'object' && address !== null ? String(address.port) : '';
  const lines: string[] = [];
  const environment = readTelemetryEnvironment({
    OTEL_METRICS_EXPORTER: 'prometheus',
    OTEL_EXPORTER_PROMETHEUS_PORT: port,
    OTEL_EXPORTER_PROMETHEUS_HOST: '127.0.0.1',
  });
  const log = createLog('test', 'info', (line) => lines.push(line));
  const metrics = await openMetrics(identity('svc'), environment, log);
  measure(metrics);
  await metrics.shutdown();
  expect(lines.map((line) => (JSON.parse(line) as { message: string }).message)).toEqual([
    'metrics are not served: set OTEL_EXPORTER_PROMETHEUS_PORT to a free port, or to 0',
  ]);
});

it('ends several observations at once', () => {
  const ended: string[] = [];
  const metrics: Metrics = { ...NO_METRICS, observe: (metric) => () => ended.push(metric.name) };
  const end = allObservations([
    metrics.observe(METRICS.volumes, () => []),
    metrics.observe(METRICS.replicas, () => []),
  ]);
  expect(ended).toEqual([]);
  end();
  expect(ended).toEqual(['lariat.volumes', 'lariat.replicas']);
});

it('has names and attributes of one form, each name once', () => {
  const all = Object.values<Metric>(METRICS);
  expect(new Set(all.map(prometheusName)).size).toBe(all.length);
  const form = /^[a-z][a-z_]*(\.[a-z_]+)*$/;
  expect(all.filter(({ name }) => !name.startsWith('lariat.') || !form.test(name))).toEqual([]);
  expect(all.flatMap(({ attributes }) => attributes).filter((name) => !form.test(name))).toEqual(
    [],
  );
  expect(all.filter(({ kind, unit }) => kind === 'histogram' && unit !== 's')).toEqual([]);
});
