import {
  type CommandEnvelope,
  HEADERS,
  STREAMS,
  commandConsumer,
  commandSubject,
  lariatError,
} from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import {
  METRICS,
  type Log,
  type Metrics,
  NO_METRICS,
  contextFromTraceparent,
  failSpan,
  secondsSince,
} from '@lariat/telemetry';
import {
  type ConsumerMessages,
  type JetStreamClient,
  type JsMsg,
  jetstream,
} from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { SpanKind, type Tracer, context, trace } from '@opentelemetry/api';
import { COMMAND_ACK_WAIT_MS, makeCommandConsumer } from '../consumers.js';
import { QUICK_HEARTBEATS } from '../heartbeats.js';
import { deadLetter } from '../dead-letter.js';
import { encodeData, encodeError } from '../reply.js';
import { MessageContext } from './message-context.js';
import type { Handler } from './request-lane.js';

export interface CommandLaneOptions {
  readonly connection: NatsConnection;
  readonly node: string;
  readonly tracer: Tracer;
  readonly log: Log;
  readonly metrics?: Metrics;
  /** Has what the commands are taken from made; default by itself. */
  readonly openConsumer?: () => Promise<void>;
}

/** A command that has come this often without an answer has killed its agent each time. */
const MAX_DELIVERIES = 8;

/** Pulls the commands to one node, runs them side by side, answers, and then acknowledges. */
export class CommandLane {
  private readonly handlers = new Map<string, Handler>();
  private readonly js: JetStreamClient;
  private readonly underWay = new Set<Promise<void>>();
  private messages: ConsumerMessages | undefined;

  constructor(private readonly options: CommandLaneOptions) {
    this.js = jetstream(options.connection);
  }

  serve(name: string, handler: Handler): void {
    this.handlers.set(name, handler);
  }

  async start(): Promise<void> {
    if (this.handlers.size === 0) return;
    const { connection, node, openConsumer } = this.options;
    await (openConsumer ?? (() => makeCommandConsumer(connection, node)))();
    const consumer = await this.js.consumers.get(STREAMS.commands.name, commandConsumer(node));
    const messages = await consumer.consume({ max_messages: 256, ...QUICK_HEARTBEATS });
    this.messages = messages;
    void this.pump(messages);
  }

  async stop(): Promise<void> {
    this.messages?.stop();
    await Promise.all(this.underWay);
  }

  private async pump(messages: ConsumerMessages): Promise<void> {
    for await (const message of messages) {
      const work = this.carryOut(message).catch((error: unknown) => {
        this.options.log.error('command could not be settled', { subject: message.subject, error });
      });
      this.underWay.add(work);
      void work.finally(() => this.underWay.delete(work));
    }
  }

  private get metrics(): Metrics {
    return this.options.metrics ?? NO_METRICS;
  }

  private async carryOut(message: JsMsg): Promise<void> {
    if (message.redelivered)
      this.metrics.add(METRICS.redeliveries, { stream: STREAMS.commands.name });
    const envelope = readEnvelope(message);
    if (envelope === undefined) {
      await this.refuse(message, 'REQUEST_MALFORMED', 'The message is not a command envelope.');
      return;
    }
    const handler = this.handlers.get(envelope.command);
    if (handler === undefined) {
      await this.refuse(
        message,
        'REQUEST_INVALID',
        `This agent knows no command '${envelope.command}'.`,
      );
      return;
    }
    if (message.info.deliveryCount > MAX_DELIVERIES) {
      await this.refuse(
        message,
        'INTERNAL',
        `The command was tried ${MAX_DELIVERIES} times and never answered.`,
      );
      return;
    }
    // Long copies stay ours without a second delivery.
    const keepAlive = setInterval(() => message.working(), COMMAND_ACK_WAIT_MS / 3);
    try {
      await this.run(message, envelope, handler);
    } finally {
      clearInterval(keepAlive);
    }
    message.ack();
  }

  private async run(message: JsMsg, envelope: CommandEnvelope, handler: Handler): Promise<void> {
    const parent = contextFromTraceparent(message.headers?.get(HEADERS.traceparent));
    const template = commandSubject('{node}', envelope.command);
    const span = this.options.tracer.startSpan(
      `process ${template}`,
      {
        kind: SpanKind.CONSUMER,
        attributes: {
          'messaging.system': 'nats',
          'messaging.operation.name': 'process',
          'messaging.operation.type': 'process',
          'messaging.destination.template': template,
          'messaging.destination.name': message.subject,
          'messaging.nats.stream_sequence': message.seq,
          'messaging.nats.delivery_count': message.info.deliveryCount,
          'messaging.message.conversation_id': envelope.operation,
          'node.id': this.options.node,
        },
      },
      parent,
    );
    const facts = {
      subject: message.subject,
      requestId: undefined,
      actor: envelope.operation,
      deliveryCount: message.info.deliveryCount,
    };
    const began = performance.now();
    let outcome = 'ok';
    try {
      const output = await context.with(trace.setSpan(parent, span), () =>
        handler(envelope, new MessageContext([facts])),
      );
      this.reply(message, encodeData(output));
    } catch (reason) {
      const error = toLariatError(reason);
      outcome = error.kind;
      failSpan(span, error);
      if (error.kind === 'internal')
        this.options.log.error('command failed', { command: envelope.command, error: reason });
      this.reply(message, encodeError(error, span.spanContext().traceId).body);
    } finally {
      span.end();
      this.metrics.record(METRICS.commandDuration, secondsSince(began), {
        command: envelope.command,
        'node.id': this.options.node,
        outcome,
      });
    }
  }

  private async refuse(
    message: JsMsg,
    code: 'REQUEST_MALFORMED' | 'REQUEST_INVALID' | 'INTERNAL',
    text: string,
  ): Promise<void> {
    const error = lariatError(code, text);
    this.options.log.error('command refused', { subject: message.subject, reason: text });
    this.reply(message, encodeError(error, undefined).body);
    await deadLetter(this.js, STREAMS.commands.name, message, error.toRecord());
    this.metrics.add(METRICS.deadLetters, { stream: STREAMS.commands.name });
  }

  private reply(message: JsMsg, body: Uint8Array): void {
    const subject = message.headers?.get(HEADERS.reply);
    if (subject !== undefined && subject !== '') this.options.connection.publish(subject, body);
  }
}

function readEnvelope(message: JsMsg): CommandEnvelope | undefined {
  let value: unknown;
  try {
    value = message.json();
  } catch {
    // Not JSON at all: the caller dead-letters it with its reason.
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const fields = value as Record<string, unknown>;
  const texts = ['id', 'command', 'operation', 'step'].every(
    (key) => typeof fields[key] === 'string',
  );
  const numbers = ['fence', 'deadlineAtMs'].every((key) => Number.isFinite(fields[key]));
  const input = typeof fields.input === 'object' && fields.input !== null;
  return texts && numbers && input ? (value as CommandEnvelope) : undefined;
}
