import { LariatError } from '@lariat/kernel';

/** Where a process sends its traces and metrics; by default nowhere. */
export interface TelemetryEnvironment {
  readonly traces?: { readonly url: string; readonly delayMs: number };
  readonly metrics?: { readonly url: string; readonly intervalMs: number };
  /** Where metrics can be read by whoever asks (Prometheus). */
  readonly scrape?: { readonly host: string; readonly port: number };
  /** Told with every span and metric, beside the name of the service. */
  readonly attributes: Readonly<Record<string, string>>;
}

export const NO_TELEMETRY: TelemetryEnvironment = { attributes: {} };

/** What a usage text says of it. */
export const TELEMETRY_VARIABLES = `OTEL_EXPORTER_OTLP_ENDPOINT   OTLP/HTTP collector for traces and metrics (none)
OTEL_METRICS_EXPORTER         otlp, prometheus (GET /metrics), both, or none (otlp)
OTEL_EXPORTER_PROMETHEUS_PORT port of /metrics (9464); _HOST its address (localhost)
`;

type Variables = Readonly<Record<string, string | undefined>>;
type Signal = 'TRACES' | 'METRICS';

/** OTLP's own port on this host: where a collector beside the process listens. */
const DEFAULT_ENDPOINT = 'http://localhost:4318';
const DEFAULT_PROMETHEUS_PORT = 9464;
/** Longer than that, and the last spans of a process that is killed are lost too often. */
const DEFAULT_SPAN_DELAY_MS = 1_000;
const DEFAULT_METRIC_INTERVAL_MS = 60_000;
const PROTOCOLS = ['http/json', 'http/protobuf'];

/**
 * OpenTelemetry's own variables. Nothing is sent without an endpoint, unless an exporter is asked for by name: most
 * clusters have no collector. Headers, time-outs, compression and certificates are read by the exporters themselves.
 */
export function readTelemetryEnvironment(env: Variables): TelemetryEnvironment {
  if (valueOf(env, 'OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return NO_TELEMETRY;
  const traces = endpointOf(env, 'TRACES', exportersOf(env, 'TRACES', ['otlp']));
  const wanted = exportersOf(env, 'METRICS', ['otlp', 'prometheus']);
  const metrics = endpointOf(env, 'METRICS', wanted);
  return {
    attributes: attributesOf(valueOf(env, 'OTEL_RESOURCE_ATTRIBUTES') ?? ''),
    ...(traces === undefined
      ? {}
      : {
          traces: {
            url: traces,
            delayMs: numberOf(env, 'OTEL_BSP_SCHEDULE_DELAY', DEFAULT_SPAN_DELAY_MS),
          },
        }),
    ...(metrics === undefined
      ? {}
      : {
          metrics: {
            url: metrics,
            intervalMs: numberOf(env, 'OTEL_METRIC_EXPORT_INTERVAL', DEFAULT_METRIC_INTERVAL_MS),
          },
        }),
    ...(wanted?.includes('prometheus') === true ? { scrape: scrapeOf(env) } : {}),
  };
}

/** An empty variable is one that is not set, as OpenTelemetry has it. */
function valueOf(env: Variables, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

function refuse(name: string, value: string, instead: string): never {
  throw new LariatError({
    kind: 'invalid',
    code: 'TELEMETRY_CONFIG_INVALID',
    message: `${name}='${value}' ${instead}`,
    details: { variable: name },
  });
}

function exportersOf(
  env: Variables,
  signal: Signal,
  known: readonly string[],
): readonly string[] | undefined {
  const name = `OTEL_${signal}_EXPORTER`;
  const value = valueOf(env, name);
  if (value === undefined) return undefined;
  const wanted = value.split(',').map((word) => word.trim());
  if (wanted.length === 1 && wanted[0] === 'none') return [];
  if (wanted.some((word) => !known.includes(word)))
    refuse(
      name,
      value,
      `must be none${known.map((word) => `, ${word}`).join('')}${known.length > 1 ? ', or several of them with commas' : ''}`,
    );
  return wanted;
}

function endpointOf(
  env: Variables,
  signal: Signal,
  exporters: readonly string[] | undefined,
): string | undefined {
  if (exporters !== undefined && !exporters.includes('otlp')) return undefined;
  const own = `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`;
  const shared = valueOf(env, 'OTEL_EXPORTER_OTLP_ENDPOINT');
  const given = valueOf(env, own);
  if (given === undefined && shared === undefined && exporters === undefined) return undefined;
  checkProtocol(env, signal);
  if (given !== undefined) return urlOf(own, given);
  const base = shared ?? DEFAULT_ENDPOINT;
  urlOf('OTEL_EXPORTER_OTLP_ENDPOINT', base);
  return `${base.replace(/\/$/, '')}/v1/${signal.toLowerCase()}`;
}

function checkProtocol(env: Variables, signal: Signal): void {
  for (const name of [`OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`, 'OTEL_EXPORTER_OTLP_PROTOCOL']) {
    const value = valueOf(env, name);
    if (value !== undefined && !PROTOCOLS.includes(value))
      refuse(
        name,
        value,
        'is not spoken: OTLP is sent over HTTP, as JSON. Set it to http/json, and the endpoint to the port of the collector for HTTP (4318 where that for gRPC is 4317)',
      );
  }
}

function urlOf(name: string, value: string): string {
  if (!/^https?:\/\/[^/]/.test(value) || !URL.canParse(value))
    refuse(name, value, 'must be a URL with http or https, such as http://collector:4318');
  return value;
}

function numberOf(env: Variables, name: string, byDefault: number): number {
  const value = valueOf(env, name);
  if (value === undefined) return byDefault;
  if (!/^\d{1,9}$/.test(value) || Number(value) === 0)
    refuse(name, value, 'must be a number of milliseconds of at least 1');
  return Number(value);
}

function scrapeOf(env: Variables): { readonly host: string; readonly port: number } {
  const name = 'OTEL_EXPORTER_PROMETHEUS_PORT';
  const value = valueOf(env, name) ?? String(DEFAULT_PROMETHEUS_PORT);
  if (!/^\d{1,5}$/.test(value) || Number(value) > 65_535)
    refuse(name, value, 'must be a port from 0 to 65535; 0 takes a free one, which the log names');
  return {
    host: valueOf(env, 'OTEL_EXPORTER_PROMETHEUS_HOST') ?? 'localhost',
    port: Number(value),
  };
}

function attributesOf(list: string): Readonly<Record<string, string>> {
  const pairs = list.split(',').filter((pair) => pair.trim() !== '');
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1)
        refuse('OTEL_RESOURCE_ATTRIBUTES', list, 'must be a list like key=value,key=value');
      try {
        return [pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())];
      } catch {
        return refuse('OTEL_RESOURCE_ATTRIBUTES', list, 'has a % that no two hex digits follow');
      }
    }),
  );
}
