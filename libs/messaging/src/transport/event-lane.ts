import { HEADERS, type LariatEvent, STREAMS, eventFilter, eventSubject } from '@lariat/contracts';
import { KeyedQueue, backoffMs, toLariatError } from '@lariat/kernel';
import { type Log, contextFromTraceparent, inSpan } from '@lariat/telemetry';
import {
  AckPolicy,
  type ConsumerMessages,
  DeliverPolicy,
  type JetStreamClient,
  type JsMsg,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream';
import { type NatsConnection, nanos } from '@nats-io/nats-core';
import { SpanKind, type Tracer } from '@opentelemetry/api';
import { deadLetter } from '../dead-letter.js';
import { MessageContext } from './message-context.js';
import type { Handler } from './request-lane.js';

export interface EventLaneOptions {
  readonly connection: NatsConnection;
  readonly service: string;
  readonly tracer: Tracer;
  readonly log: Log;
}

const ACK_WAIT_MS = 30_000;
const MAX_DELIVERIES = 10;
const BACKOFF = { initialMs: 200, maxMs: 15_000, factor: 2 };

interface Subscriber {
  readonly filter: string;
  readonly durable: string;
  readonly handler: Handler;
}

/** Delivers events to handlers through durable consumers; a handler that goes on failing ends in the dead letters. */
export class EventLane {
  private readonly subscribers: Subscriber[] = [];
  private readonly consuming: ConsumerMessages[] = [];
  private readonly queue = new KeyedQueue();
  private readonly js: JetStreamClient;

  constructor(private readonly options: EventLaneOptions) {
    this.js = jetstream(options.connection);
  }

  serve(filter: string, durable: string, handler: Handler): void {
    this.subscribers.push({ filter, durable: `${this.options.service}-${durable}`, handler });
  }

  async start(): Promise<void> {
    for (const subscriber of this.subscribers) await this.consume(subscriber);
  }

  async stop(): Promise<void> {
    for (const messages of this.consuming) messages.stop();
    await this.queue.idle();
  }

  private async consume(subscriber: Subscriber): Promise<void> {
    const manager = await jetstreamManager(this.options.connection);
    await manager.consumers.add(STREAMS.events.name, {
      durable_name: subscriber.durable,
      filter_subject: eventFilter(subscriber.filter),
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.New,
      ack_wait: nanos(ACK_WAIT_MS),
      max_ack_pending: 64,
    });
    const consumer = await this.js.consumers.get(STREAMS.events.name, subscriber.durable);
    const messages = await consumer.consume({ max_messages: 64 });
    this.consuming.push(messages);
    void this.pump(subscriber, messages);
  }

  private async pump(subscriber: Subscriber, messages: ConsumerMessages): Promise<void> {
    for await (const message of messages) {
      const event = readEvent(message);
      if (event === undefined) {
        const reason = {
          code: 'REQUEST_MALFORMED',
          kind: 'invalid',
          message: 'not an event of Lariat',
        } as const;
        await deadLetter(this.js, STREAMS.events.name, message, reason);
        continue;
      }
      void this.queue.run(event.objectId, () => this.deliver(subscriber, message, event));
    }
  }

  private async deliver(subscriber: Subscriber, message: JsMsg, event: LariatEvent): Promise<void> {
    const facts = {
      subject: message.subject,
      requestId: event.id,
      actor: event.actor,
      deliveryCount: message.info.deliveryCount,
    };
    try {
      await inSpan(
        this.options.tracer,
        `process ${eventSubject(event.kind, '{id}', event.type)}`,
        {
          kind: SpanKind.CONSUMER,
          attributes: {
            'messaging.system': 'nats',
            'messaging.operation.name': 'process',
            'messaging.consumer.group.name': subscriber.durable,
            'messaging.message.id': event.id,
            'messaging.nats.delivery_count': message.info.deliveryCount,
          },
        },
        contextFromTraceparent(message.headers?.get(HEADERS.traceparent)),
        () => subscriber.handler(event, new MessageContext([facts])),
      );
      message.ack();
    } catch (reason) {
      const error = toLariatError(reason);
      this.options.log.warn('event handler failed', {
        event: event.id,
        durable: subscriber.durable,
        error: reason,
      });
      if (error.kind === 'invalid' || message.info.deliveryCount >= MAX_DELIVERIES) {
        await deadLetter(this.js, STREAMS.events.name, message, error.toRecord());
      } else {
        message.nak(backoffMs(BACKOFF, message.info.deliveryCount));
      }
    }
  }
}

function readEvent(message: JsMsg): LariatEvent | undefined {
  try {
    const value: unknown = message.json();
    if (typeof value !== 'object' || value === null) return undefined;
    const { id, objectId, type } = value as Partial<Record<keyof LariatEvent, unknown>>;
    const known =
      typeof id === 'string' && typeof objectId === 'string' && typeof type === 'string';
    return known ? (value as LariatEvent) : undefined;
  } catch {
    // Not JSON: the caller dead-letters it.
    return undefined;
  }
}
