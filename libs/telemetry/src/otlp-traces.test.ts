import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { OtlpReceiver } from '@lariat/testing';
import { ROOT_CONTEXT } from '@opentelemetry/api';
import { expect, it, onTestFinished } from 'vitest';
import { inSpan } from './in-span.js';
import { readTelemetryEnvironment } from './telemetry-environment.js';
import { createTelemetry } from './telemetry.js';

const IDENTITY = { serviceName: 'svc', serviceVersion: '1.0.0', instanceId: 'i1' };

it('sends a span to the collector, with the service that it is of and without a password', async () => {
  const receiver = await OtlpReceiver.start();
  onTestFinished(() => receiver.close());
  const environment = readTelemetryEnvironment({
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
    OTEL_RESOURCE_ATTRIBUTES: 'service.name=other,rack=r1',
  });
  const telemetry = createTelemetry({ ...IDENTITY, environment });
  const failing = inSpan(telemetry.tracer, 'work', {}, ROOT_CONTEXT, () =>
    Promise.reject(new Error('nats://me:secret@nats:4222 is away')),
  );
  await expect(failing).rejects.toThrow('is away');
  await telemetry.flush();
  await telemetry.shutdown();
  expect([...receiver.paths]).toEqual(['/v1/traces']);
  expect(receiver.spans).toMatchObject([
    {
      name: 'work',
      service: 'svc',
      instance: 'i1',
      isError: true,
      statusMessage: 'nats://***@nats:4222 is away',
      resource: { rack: 'r1', 'service.namespace': 'lariat', 'service.version': '1.0.0' },
    },
  ]);
});

it('ends although the collector takes everything and answers nothing', async () => {
  const silent = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  onTestFinished(() => {
    silent.close();
    silent.closeAllConnections();
  });
  const { port } = silent.address() as AddressInfo;
  const telemetry = createTelemetry({
    ...IDENTITY,
    environment: readTelemetryEnvironment({
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    }),
  });
  const asked = once(silent, 'request');
  telemetry.tracer.startSpan('lost').end();
  await telemetry.shutdown();
  await asked;
  expect(silent.listening).toBe(true);
});
