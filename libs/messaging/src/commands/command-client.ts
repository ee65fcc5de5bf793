import {
  type CommandEnvelope,
  type CommandMap,
  type CommandName,
  HEADERS,
  STREAMS,
  commandSubject,
  lariatError,
  replySubject,
} from '@lariat/contracts';
import { inSpan, traceparentOf } from '@lariat/telemetry';
import { type JetStreamClient, jetstream } from '@nats-io/jetstream';
import { type Msg, type NatsConnection, headers } from '@nats-io/nats-core';
import { SpanKind, type Tracer, context } from '@opentelemetry/api';
import { encodeJson } from '../json.js';
import { Reconnects } from '../reconnects.js';
import { decodeReply } from '../reply.js';

interface Waiting {
  readonly resolve: (output: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Sends commands to agents through JetStream and waits for their answers. The stream keeps a command until the
 * agent has carried it out, also over the agent's restart; the answer comes back over core NATS. What NATS may have lost
 * of either when it died is made up for by sending the command again: the agent carries it out once.
 */
export class CommandClient {
  private readonly waiting = new Map<string, Waiting>();
  private readonly js: JetStreamClient;
  private readonly reconnects: Reconnects;
  private isListening = false;
  private counter = 0;

  constructor(
    private readonly connection: NatsConnection,
    private readonly instance: string,
    private readonly tracer: Tracer,
  ) {
    this.js = jetstream(connection);
    this.reconnects = new Reconnects(connection);
  }

  /** Rejects with the agent's error, or with DEADLINE_EXCEEDED: then whether it happened is not known. */
  send<Name extends CommandName>(
    node: string,
    envelope: CommandEnvelope<Name>,
  ): Promise<CommandMap[Name]['output']> {
    const subject = commandSubject(node, envelope.command);
    return inSpan(
      this.tracer,
      `publish ${commandSubject('{node}', envelope.command)}`,
      {
        kind: SpanKind.PRODUCER,
        attributes: {
          'messaging.system': 'nats',
          'messaging.operation.name': 'publish',
          'messaging.operation.type': 'send',
          'messaging.destination.name': subject,
          'messaging.destination.template': commandSubject('{node}', envelope.command),
          'messaging.message.conversation_id': envelope.operation,
          'node.id': node,
        },
      },
      context.active(),
      () => this.exchange(subject, node, envelope) as Promise<CommandMap[Name]['output']>,
    );
  }

  /** Who sends no commands hears no answers. */
  private listen(): void {
    if (this.isListening) return;
    this.isListening = true;
    this.connection.subscribe(replySubject(this.instance, '*', '*'), {
      callback: (error, message) => {
        if (error === null) this.settle(message);
      },
    });
  }

  private async exchange(
    subject: string,
    node: string,
    envelope: CommandEnvelope,
  ): Promise<unknown> {
    this.listen();
    this.counter += 1;
    const token = String(this.counter);
    const answered = replySubject(this.instance, node, token);
    const head = headers();
    head.set(HEADERS.reply, answered);
    const traceparent = traceparentOf(context.active());
    if (traceparent !== undefined) head.set(HEADERS.traceparent, traceparent);
    const timeoutMs = Math.max(1, envelope.deadlineAtMs - Date.now());
    let timer: NodeJS.Timeout | undefined;
    let stopListening: () => void = () => undefined;
    try {
      return await new Promise<unknown>((resolve, reject) => {
        this.waiting.set(answered, { resolve, reject });
        timer = setTimeout(() => {
          reject(
            lariatError(
              'DEADLINE_EXCEEDED',
              `Node '${node}' did not answer ${envelope.command} in time; whether it was done is not known.`,
              { node, command: envelope.command },
            ),
          );
        }, timeoutMs);
        let sent = 0;
        const publish = (): void => {
          sent += 1;
          const turn = sent;
          this.js
            .publish(subject, encodeJson(envelope), {
              headers: head,
              expect: { streamName: STREAMS.commands.name },
            })
            .catch((cause: unknown) => {
              // It was sent again since: that one's fate counts.
              if (turn !== sent) return;
              reject(
                lariatError(
                  'NATS_UNAVAILABLE',
                  `The command could not be stored: ${String(cause)}.`,
                  { node },
                  cause,
                ),
              );
            });
        };
        stopListening = this.reconnects.listen(publish);
        publish();
      });
    } finally {
      clearTimeout(timer);
      stopListening();
      this.waiting.delete(answered);
    }
  }

  private settle(message: Msg): void {
    const waiting = this.waiting.get(message.subject);
    if (waiting === undefined) return;
    try {
      waiting.resolve(decodeReply(message.data));
    } catch (error) {
      waiting.reject(error);
    }
  }
}
