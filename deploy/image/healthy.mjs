// Whether the process of this container answers: its metrics are served by the same event loop as everything else.
const port = process.env.OTEL_EXPORTER_PROMETHEUS_PORT ?? '9464';
const host = process.env.OTEL_EXPORTER_PROMETHEUS_HOST ?? 'localhost';
try {
  const response = await fetch(`http://${host}:${port}/metrics`, {
    signal: AbortSignal.timeout(4000),
  });
  process.exitCode = response.ok ? 0 : 1;
} catch {
  process.exitCode = 1;
}
