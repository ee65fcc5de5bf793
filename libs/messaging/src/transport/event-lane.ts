import { HEADERS, type LariatEvent, STREAMS, eventSubject } from '@lariat/contracts';
import {
  type ErrorRecord,
  KeyedQueue,
  type LariatError,
  backoffMs,
  delay,
  toLariatError,
} from '@lariat/kernel';
import {
  METRICS,
  type Log,
  type Metrics,
  NO_METRICS,
  contextFromTraceparent,
  inSpan,
} from '@lariat/telemetry';
import {
  type ConsumerMessages,
  type JetStreamClient,
  type JsMsg,
  jetstream,
} from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { SpanKind, type Tracer } from '@opentelemetry/api';
import { EVENT_ACK_WAIT_MS, makeEventConsumer } from '../consumers.js';
import { QUICK_HEARTBEATS } from '../heartbeats.js';
import { deadLetter } from '../dead-letter.js';
import { MessageContext } from './message-context.js';
import type { Handler } from './request-lane.js';

export interface EventLaneOptions {
  readonly connection: NatsConnection;
  readonly service: string;
  readonly tracer: Tracer;
  readonly log: Log;
  readonly metrics?: Metrics;
  /** Has what the events come from made; default by itself. */
  readonly openConsumer?: (consumer: string, filter: string) => Promise<void>;
}

const MAX_TRIES = 10;
const BACKOFF = { initialMs: 200, maxMs: 15_000, factor: 2 };

interface Subscriber {
  readonly filter: string;
  readonly durable: string;
  readonly handler: Handler;
}

/**
 * Delivers events to handlers through durable consumers, in order per object within an instance: what fails is tried
 * again before a later event of its object, and ends in the dead letters when it goes on failing.
 */
export class EventLane {
  private readonly subscribers: Subscriber[] = [];
  private readonly consuming: ConsumerMessages[] = [];
  private readonly queue = new KeyedQueue();
  private readonly stopping = new AbortController();
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
    this.stopping.abort();
    for (const messages of this.consuming) messages.stop();
    await this.queue.idle();
  }

  private async consume(subscriber: Subscriber): Promise<void> {
    const { connection, openConsumer } = this.options;
    const { durable, filter } = subscriber;
    if (openConsumer === undefined) await makeEventConsumer(connection, durable, filter);
    else await openConsumer(durable, filter);
    const consumer = await this.js.consumers.get(STREAMS.events.name, durable);
    const messages = await consumer.consume({ max_messages: 64, ...QUICK_HEARTBEATS });
    this.consuming.push(messages);
    void this.pump(subscriber, messages);
  }

  private async pump(subscriber: Subscriber, messages: ConsumerMessages): Promise<void> {
    for await (const message of messages) {
      const event = readEvent(message);
      if (event === undefined) {
        await this.giveUp(message, {
          code: 'REQUEST_MALFORMED',
          kind: 'invalid',
          message: 'not an event of Lariat',
        });
        continue;
      }
      void this.queue.run(event.objectId, () => this.deliver(subscriber, message, event));
    }
  }

  private get metrics(): Metrics {
    return this.options.metrics ?? NO_METRICS;
  }

  private async deliver(subscriber: Subscriber, message: JsMsg, event: LariatEvent): Promise<void> {
    if (message.redelivered)
      this.metrics.add(METRICS.redeliveries, { stream: STREAMS.events.name });
    const keepAlive = setInterval(() => message.working(), EVENT_ACK_WAIT_MS / 3);
    try {
      const failed = await this.tryUntilSettled(subscriber, message, event);
      if (failed === undefined) message.ack();
      else if (failed === 'stopping') message.nak();
      else await this.giveUp(message, failed.toRecord());
    } finally {
      clearInterval(keepAlive);
    }
  }

  /** Undefined once handled; 'stopping' leaves the event to another instance, or to the next start. */
  private async tryUntilSettled(
    subscriber: Subscriber,
    message: JsMsg,
    event: LariatEvent,
  ): Promise<LariatError | 'stopping' | undefined> {
    for (let tries = message.info.deliveryCount; !this.stopping.signal.aborted; tries += 1) {
      const error = await this.attempt(subscriber, message, event, tries);
      if (error === undefined || error.kind === 'invalid' || tries >= MAX_TRIES) return error;
      await delay(backoffMs(BACKOFF, tries), this.stopping.signal);
    }
    return 'stopping';
  }

  private async attempt(
    subscriber: Subscriber,
    message: JsMsg,
    event: LariatEvent,
    tries: number,
  ): Promise<LariatError | undefined> {
    const facts = {
      subject: message.subject,
      requestId: event.id,
      actor: event.actor,
      deliveryCount: tries,
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
            'messaging.nats.delivery_count': tries,
          },
        },
        contextFromTraceparent(message.headers?.get(HEADERS.traceparent)),
        () => subscriber.handler(event, new MessageContext([facts])),
      );
      return undefined;
    } catch (reason) {
      this.options.log.warn('event handler failed', {
        event: event.id,
        durable: subscriber.durable,
        error: reason,
      });
      return toLariatError(reason);
    }
  }

  /** Without an answer from NATS the message stays unacknowledged, and comes again. */
  private async giveUp(message: JsMsg, reason: ErrorRecord): Promise<void> {
    try {
      await deadLetter(this.js, STREAMS.events.name, message, reason);
      this.metrics.add(METRICS.deadLetters, { stream: STREAMS.events.name });
    } catch (error) {
      this.options.log.error('event not dead-lettered', { subject: message.subject, error });
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
