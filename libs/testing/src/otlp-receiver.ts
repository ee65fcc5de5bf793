import { once } from 'node:events';
import { type IncomingMessage, type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** '' of a root. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly service: string;
  readonly instance: string;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly isError: boolean;
  readonly statusMessage: string;
  readonly attributes: Attributes;
  readonly resource: Attributes;
}

export interface ReceivedPoint {
  readonly attributes: Attributes;
  /** Of a histogram: how many values. */
  readonly value: number;
  /** Of a histogram. */
  readonly sum?: number;
}

export interface ReceivedMetric {
  readonly name: string;
  readonly unit: string;
  readonly description: string;
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly service: string;
  readonly instance: string;
  readonly points: readonly ReceivedPoint[];
}

interface AnyValue {
  readonly stringValue?: string;
  readonly intValue?: string | number;
  readonly doubleValue?: number;
  readonly boolValue?: boolean;
}
type KeyValues = readonly { readonly key: string; readonly value: AnyValue }[];
interface Resource {
  readonly resource: { readonly attributes?: KeyValues };
}
interface SpanMessage {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: KeyValues;
  readonly status?: { readonly code?: number; readonly message?: string };
}
interface PointMessage {
  readonly attributes?: KeyValues;
  readonly asInt?: string | number;
  readonly asDouble?: number;
  readonly count?: string | number;
  readonly sum?: number;
}
interface MetricMessage {
  readonly name: string;
  readonly unit?: string;
  readonly description?: string;
  readonly sum?: { readonly dataPoints: readonly PointMessage[]; readonly isMonotonic?: boolean };
  readonly gauge?: { readonly dataPoints: readonly PointMessage[] };
  readonly histogram?: { readonly dataPoints: readonly PointMessage[] };
}
interface TraceRequest {
  readonly resourceSpans?: readonly (Resource & {
    readonly scopeSpans: readonly { readonly spans: readonly SpanMessage[] }[];
  })[];
}
interface MetricsRequest {
  readonly resourceMetrics?: readonly (Resource & {
    readonly scopeMetrics: readonly { readonly metrics: readonly MetricMessage[] }[];
  })[];
}

const STATUS_ERROR = 2;

function plain(value: AnyValue): string | number | boolean {
  if (value.intValue !== undefined) return Number(value.intValue);
  return value.stringValue ?? value.doubleValue ?? value.boolValue ?? JSON.stringify(value);
}

const plainAttributes = (list: KeyValues = []): Attributes =>
  Object.fromEntries(list.map(({ key, value }) => [key, plain(value)]));

/** A collector for tests: OTLP over HTTP as JSON, kept in memory. */
export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = [];
  readonly metrics: ReceivedMetric[] = [];
  readonly paths = new Set<string>();
  private readonly listeners = new Set<() => void>();

  private constructor(private readonly server: Server) {}

  static async start(): Promise<OtlpReceiver> {
    const server = createServer();
    const receiver = new OtlpReceiver(server);
    server.on('request', (request, response) => {
      receiver.take(request).then(
        () => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'),
        (error: unknown) => response.writeHead(400).end(String(error)),
      );
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return receiver;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Resolves as soon as `holds`, which is looked at with each message; rejects when the time is over. */
  async until(what: string, timeoutMs: number, holds: () => boolean): Promise<void> {
    if (holds()) return;
    let timer: NodeJS.Timeout | undefined;
    let look: () => void = () => undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        look = () => {
          if (holds()) resolve();
        };
        this.listeners.add(look);
        timer = setTimeout(() => reject(new Error(`the receiver waits for ${what}`)), timeoutMs);
      });
    } finally {
      clearTimeout(timer);
      this.listeners.delete(look);
    }
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private async take(request: IncomingMessage): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body: unknown = JSON.parse(Buffer.concat(parts).toString());
    this.paths.add(request.url ?? '');
    if (request.url === '/v1/traces') this.takeSpans(body as TraceRequest);
    else if (request.url === '/v1/metrics') this.takeMetrics(body as MetricsRequest);
    for (const look of this.listeners) look();
  }

  private takeSpans({ resourceSpans = [] }: TraceRequest): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const about = plainAttributes(resource.attributes);
      for (const span of scopeSpans.flatMap(({ spans }) => spans))
        this.spans.push({
          traceId: span.traceId,
          spanId: span.spanId,
          parentSpanId: span.parentSpanId ?? '',
          name: span.name,
          service: String(about['service.name']),
          instance: String(about['service.instance.id']),
          startNs: BigInt(span.startTimeUnixNano),
          endNs: BigInt(span.endTimeUnixNano),
          isError: span.status?.code === STATUS_ERROR,
          statusMessage: span.status?.message ?? '',
          attributes: plainAttributes(span.attributes),
          resource: about,
        });
    }
  }

  private takeMetrics({ resourceMetrics = [] }: MetricsRequest): void {
    for (const { resource, scopeMetrics } of resourceMetrics) {
      const about = plainAttributes(resource.attributes);
      for (const metric of scopeMetrics.flatMap(({ metrics }) => metrics)) {
        const { sum, gauge, histogram } = metric;
        const points = (histogram ?? sum ?? gauge)?.dataPoints ?? [];
        this.metrics.push({
          name: metric.name,
          unit: metric.unit ?? '',
          description: metric.description ?? '',
          kind:
            histogram !== undefined ? 'histogram' : sum?.isMonotonic === true ? 'counter' : 'gauge',
          service: String(about['service.name']),
          instance: String(about['service.instance.id']),
          points: points.map((point) => ({
            attributes: plainAttributes(point.attributes),
            value: Number(point.count ?? point.asInt ?? point.asDouble),
            ...(point.sum === undefined ? {} : { sum: point.sum }),
          })),
        });
      }
    }
  }
}
