import { isNodeRequest } from '@lariat/bus';
import {
  type AuditAnswered,
  HEADERS,
  REQUEST_DTOS,
  type RequestName,
  auditedThings,
  isAudited,
  lariatError,
  nodeRequestSubject,
  parseDto,
  requestSubject,
} from '@lariat/contracts';
import { type LariatError, newUuid, toLariatError } from '@lariat/kernel';
import {
  METRICS,
  type Log,
  type Metrics,
  NO_METRICS,
  contextFromTraceparent,
  failSpan,
  secondsSince,
  withoutSecrets,
} from '@lariat/telemetry';
import type { Msg, NatsConnection, Subscription } from '@nats-io/nats-core';
import { SpanKind, type Tracer, context, trace } from '@opentelemetry/api';
import type { AuditTrail } from '../audit-trail.js';
import { decodeRequestBody } from '../json.js';
import { natsAwayAsUnavailable } from '../nats-away.js';
import { encodeData, encodeError } from '../reply.js';
import type { EndpointStats, ServiceDiscovery } from '../service-discovery.js';
import { MessageContext } from './message-context.js';

export type Handler = (data: unknown, context: MessageContext) => Promise<unknown>;

export interface RequestLaneOptions {
  readonly connection: NatsConnection;
  readonly service: string;
  readonly discovery: ServiceDiscovery;
  readonly tracer: Tracer;
  readonly log: Log;
  readonly metrics?: Metrics;
  /** Missing: what is asked is not put on the trail. */
  readonly audit?: AuditTrail;
}

/** Serves request/reply subjects in the service's queue group. */
export class RequestLane {
  private readonly subscriptions: Subscription[] = [];
  private inFlight = 0;
  private idle: (() => void) | undefined;

  constructor(private readonly options: RequestLaneOptions) {}

  serve(name: string, handler: Handler): void {
    const subject = isNodeRequest(name) ? nodeRequestSubject(name, '*') : requestSubject(name);
    const stats = this.options.discovery.addEndpoint(
      name.replaceAll('.', '-'),
      subject,
      this.options.service,
    );
    this.subscriptions.push(
      this.options.connection.subscribe(subject, {
        queue: this.options.service,
        callback: (error, message) => {
          if (error === null) void this.answer(name, message, handler, stats);
        },
      }),
    );
  }

  /** Takes no more requests, and waits for those under way. */
  async drain(): Promise<void> {
    await Promise.all(this.subscriptions.map((subscription) => subscription.drain()));
    if (this.inFlight === 0) return;
    await new Promise<void>((resolve) => {
      this.idle = resolve;
    });
  }

  private async answer(
    name: string,
    message: Msg,
    handler: Handler,
    stats: EndpointStats,
  ): Promise<void> {
    const began = performance.now();
    let outcome = 'ok';
    this.inFlight += 1;
    const parent = contextFromTraceparent(message.headers?.get(HEADERS.traceparent));
    const span = this.options.tracer.startSpan(
      `request ${name}`,
      {
        kind: SpanKind.SERVER,
        attributes: { 'messaging.system': 'nats', 'messaging.destination.name': message.subject },
      },
      parent,
    );
    const actorHeader = message.headers?.get(HEADERS.actor);
    const actor = actorHeader === undefined || actorHeader === '' ? 'anonymous' : actorHeader;
    const requestIdHeader = message.headers?.get(HEADERS.requestId);
    const requestId = requestIdHeader === '' ? undefined : requestIdHeader;
    const { traceId } = span.spanContext();
    let told: Told = untold;
    try {
      const dto = REQUEST_DTOS[name as RequestName] as
        | (typeof REQUEST_DTOS)[RequestName]
        | undefined;
      const body = decodeRequestBody(message.data);
      told = await this.tell(name, body, { actor, requestId, traceId });
      const data = dto === undefined ? body : parseDto<object>(dto, body);
      if (isNodeRequest(name)) assertOwnNode(message.subject, data);
      const facts = { subject: message.subject, requestId, actor, deliveryCount: 1 };
      const result = await context.with(trace.setSpan(parent, span), () =>
        handler(data, new MessageContext([facts])),
      );
      await told(undefined);
      message.respond(encodeData(result));
    } catch (reason) {
      const error = toLariatError(natsAwayAsUnavailable(reason));
      outcome = error.kind;
      failSpan(span, error);
      if (error.kind === 'internal')
        this.options.log.error('request failed', { request: name, error: reason });
      await told(error);
      const { body, headers } = encodeError(error, traceId);
      message.respond(body, { headers });
      stats.failed(error.message);
    } finally {
      span.end();
      stats.served(performance.now() - began);
      const { metrics = NO_METRICS } = this.options;
      metrics.record(METRICS.requestDuration, secondsSince(began), { request: name, outcome });
      this.inFlight -= 1;
      if (this.inFlight === 0) this.idle?.();
    }
  }

  /** Puts the request on the audit trail; the answer takes what came of it. */
  private async tell(
    request: string,
    body: unknown,
    who: {
      readonly actor: string;
      readonly requestId: string | undefined;
      readonly traceId: string;
    },
  ): Promise<Told> {
    const { audit, service } = this.options;
    if (audit === undefined || !isAudited(request, REQUEST_DTOS)) return untold;
    const began = performance.now();
    const id = newUuid();
    await audit.asked({
      ...{ id, at: new Date().toISOString(), request, service, things: auditedThings(body) },
      ...{ actor: who.actor, requestId: who.requestId ?? null, traceId: who.traceId },
    });
    return (error) =>
      audit.answered({ id, durationMs: performance.now() - began, ...resultOf(error) });
  }
}

/** NATS lets an agent ask on its own node's subject alone; what it asks must be of that node too. */
function assertOwnNode(subject: string, data: unknown): void {
  const asking = subject.slice(subject.lastIndexOf('.') + 1);
  const { node, name } = data as { readonly node?: string; readonly name?: string };
  const of = node ?? name;
  if (of === asking) return;
  throw lariatError(
    'NODE_MISMATCH',
    `The agent of node '${asking}' asked for node '${String(of)}'; it may speak for its own alone.`,
    { asking },
  );
}

type Told = (error: LariatError | undefined) => Promise<void>;

const untold: Told = () => Promise.resolve();

/** Refused: nothing was done, and whoever asked has to change something. */
const REFUSALS: ReadonlySet<LariatError['kind']> = new Set([
  'invalid',
  'not_found',
  'conflict',
  'precondition',
]);

function resultOf(
  error: LariatError | undefined,
): Pick<AuditAnswered, 'result' | 'code' | 'message'> {
  if (error === undefined) return { result: 'ok', code: null, message: null };
  const result = REFUSALS.has(error.kind) ? 'refused' : 'failed';
  return { result, code: error.code, message: withoutSecrets(error.message) };
}
