import { once } from 'node:events';
import { type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MetricReader, type ResourceMetrics } from '@opentelemetry/sdk-metrics';
import type { Log } from '../log.js';
import { prometheusText } from './prometheus-text.js';

/** Collects when it is asked. */
export class ScrapeReader extends MetricReader {
  async read(): Promise<ResourceMetrics> {
    return (await this.collect()).resourceMetrics;
  }

  protected onForceFlush(): Promise<void> {
    return Promise.resolve();
  }

  protected onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

interface Address {
  readonly host: string;
  readonly port: number;
}

interface Endpoint {
  readonly server: Server;
  readonly readers: Set<ScrapeReader>;
}

/** One a process, whatever services it runs: Prometheus knows processes. */
const endpoints = new Map<string, Promise<Endpoint | undefined>>();

/** Serves the reader's metrics at `/metrics` until the answer is called. A port that is taken costs the metrics alone. */
export async function serveMetrics(
  address: Address,
  reader: ScrapeReader,
  log: Log,
): Promise<() => Promise<void>> {
  const key = `${address.host}:${address.port}`;
  const opening = endpoints.get(key) ?? listen(address, log);
  endpoints.set(key, opening);
  const endpoint = await opening;
  endpoint?.readers.add(reader);
  return async () => {
    endpoint?.readers.delete(reader);
    if (endpoint === undefined || endpoint.readers.size > 0) return;
    endpoints.delete(key);
    endpoint.server.closeAllConnections();
    endpoint.server.close();
    await once(endpoint.server, 'close');
  };
}

async function listen({ host, port }: Address, log: Log): Promise<Endpoint | undefined> {
  const readers = new Set<ScrapeReader>();
  const server = createServer((request, response) => {
    if (request.url?.split('?')[0] !== '/metrics') response.writeHead(404).end('see /metrics\n');
    else if (request.method !== 'GET') response.writeHead(405, { allow: 'GET' }).end();
    else void answer(response, readers, log);
  });
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    log.warn('metrics are not served: set OTEL_EXPORTER_PROMETHEUS_PORT to a free port, or to 0', {
      host,
      port,
      error,
    });
    return undefined;
  }
  // The process ends although somebody may still read.
  server.unref();
  log.info('metrics are served', { host, port: (server.address() as AddressInfo).port });
  return { server, readers };
}

async function answer(
  response: ServerResponse,
  readers: ReadonlySet<ScrapeReader>,
  log: Log,
): Promise<void> {
  try {
    const read = await Promise.all(Array.from(readers, (reader) => reader.read()));
    response
      .writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
      .end(prometheusText(read));
  } catch (error) {
    log.warn('metrics could not be read', { error });
    response.writeHead(500).end('metrics could not be read, see the log\n');
  }
}
