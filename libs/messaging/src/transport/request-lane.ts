import {
  HEADERS,
  REQUEST_DTOS,
  type RequestName,
  parseDto,
  requestSubject,
} from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { type Log, contextFromTraceparent, failSpan } from '@lariat/telemetry';
import type { Msg, NatsConnection, Subscription } from '@nats-io/nats-core';
import { SpanKind, type Tracer, context, trace } from '@opentelemetry/api';
import { decodeRequestBody } from '../json.js';
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
}

/** Serves request/reply subjects in the service's queue group. */
export class RequestLane {
  private readonly subscriptions: Subscription[] = [];
  private inFlight = 0;
  private idle: (() => void) | undefined;

  constructor(private readonly options: RequestLaneOptions) {}

  serve(name: string, handler: Handler): void {
    const subject = requestSubject(name);
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
    try {
      const dto = REQUEST_DTOS[name as RequestName] as
        | (typeof REQUEST_DTOS)[RequestName]
        | undefined;
      const body = decodeRequestBody(message.data);
      const data = dto === undefined ? body : parseDto<object>(dto, body);
      const requestId = message.headers?.get(HEADERS.requestId);
      const actor = message.headers?.get(HEADERS.actor);
      const facts = {
        subject: message.subject,
        requestId: requestId === '' ? undefined : requestId,
        actor: actor === undefined || actor === '' ? 'anonymous' : actor,
        deliveryCount: 1,
      };
      const result = await context.with(trace.setSpan(parent, span), () =>
        handler(data, new MessageContext([facts])),
      );
      message.respond(encodeData(result));
    } catch (reason) {
      const error = toLariatError(reason);
      failSpan(span, error);
      if (error.kind === 'internal')
        this.options.log.error('request failed', { request: name, error: reason });
      const { body, headers } = encodeError(error, span.spanContext().traceId);
      message.respond(body, { headers });
      stats.failed(error.message);
    } finally {
      span.end();
      stats.served(performance.now() - began);
      this.inFlight -= 1;
      if (this.inFlight === 0) this.idle?.();
    }
  }
}
