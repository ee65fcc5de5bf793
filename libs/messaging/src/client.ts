import {
  HEADERS,
  type RequestMap,
  type RequestName,
  lariatError,
  requestSubject,
} from '@lariat/contracts';
import { traceparentOf } from '@lariat/telemetry';
import {
  type MsgHdrs,
  NoRespondersError,
  type NatsConnection,
  TimeoutError,
  headers,
} from '@nats-io/nats-core';
import { type Context, context } from '@opentelemetry/api';
import { encodeJson } from './json.js';
import { decodeReply } from './reply.js';

export interface RequestOptions {
  /** Default 30 s: more than any operation that is waited for should take. */
  readonly timeoutMs?: number;
  /** Idempotency key: the same key gives the same answer. */
  readonly requestId?: string;
  /** Where the trace goes on; default the active context. */
  readonly context?: Context;
}

export interface LariatClientOptions {
  readonly connection: NatsConnection;
  /** Who asks, for events and the audit trail. */
  readonly actor: string;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** The API as typed calls; every failure is a LariatError. */
export class LariatClient {
  readonly connection: NatsConnection;
  private readonly actor: string;

  constructor(options: LariatClientOptions) {
    this.connection = options.connection;
    this.actor = options.actor;
  }

  async request<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
    options: RequestOptions = {},
  ): Promise<RequestMap[Name]['reply']> {
    return (await this.requestRaw(name, body, options)) as RequestMap[Name]['reply'];
  }

  /** A request whose name or answer is not in the table, e.g. one of a user's own plugin. */
  async requestRaw(name: string, body: unknown, options: RequestOptions = {}): Promise<unknown> {
    const timeout = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    try {
      const message = await this.connection.request(requestSubject(name), encodeJson(body), {
        timeout,
        headers: this.headersFor(options),
      });
      return decodeReply(message.data);
    } catch (error) {
      throw translateRequestError(error, name, timeout);
    }
  }

  private headersFor(options: RequestOptions): MsgHdrs {
    const head = headers();
    head.set(HEADERS.actor, this.actor);
    const traceparent = traceparentOf(options.context ?? context.active());
    if (traceparent !== undefined) head.set(HEADERS.traceparent, traceparent);
    if (options.requestId !== undefined) head.set(HEADERS.requestId, options.requestId);
    return head;
  }
}

function translateRequestError(error: unknown, name: string, timeoutMs: number): unknown {
  const root = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (error instanceof NoRespondersError || root instanceof NoRespondersError) {
    return lariatError(
      'SERVICE_UNAVAILABLE',
      `No service answers '${name}'. See 'lariat status'; it may be starting: try again.`,
      { request: name },
      error,
    );
  }
  if (error instanceof TimeoutError || root instanceof TimeoutError) {
    return lariatError(
      'DEADLINE_EXCEEDED',
      `'${name}' was not answered within ${timeoutMs} ms; it may still happen. Look at 'lariat operation list'.`,
      { request: name, timeoutMs },
      error,
    );
  }
  if (error instanceof Error && error.name === 'ClosedConnectionError') {
    return lariatError(
      'NATS_UNAVAILABLE',
      'The connection to NATS is closed.',
      { request: name },
      error,
    );
  }
  return error;
}
