// Whether the process of this container answers: its metrics are served by the same event loop as everything else.
// Not by fetch, which takes longer to load than all the rest, and whose connection keeps this process for seconds.
import { get } from 'node:http';

const port = process.env.OTEL_EXPORTER_PROMETHEUS_PORT ?? '9464';
const host = process.env.OTEL_EXPORTER_PROMETHEUS_HOST ?? 'localhost';
const options = { host, port, path: '/metrics', agent: false, signal: AbortSignal.timeout(4000) };
get(options, (response) => process.exit(response.statusCode === 200 ? 0 : 1)).on('error', () =>
  process.exit(1),
);
