import { isNodeRequest } from '@lariat/bus';
import {
  HEADERS,
  REQUEST_DTOS,
  type RequestMap,
  type RequestName,
  lariatError,
  nodeRequestSubject,
  requestSubject,
} from '@lariat/contracts';
import { LariatError, delay, newUuid } from '@lariat/kernel';
import { traceparentOf } from '@lariat/telemetry';
import {
  type Msg,
  type MsgHdrs,
  NoRespondersError,
  type NatsConnection,
  PermissionViolationError,
  TimeoutError,
  headers,
} from '@nats-io/nats-core';
import { type Context, context } from '@opentelemetry/api';
import { encodeJson } from './json.js';
import { Reconnects } from './reconnects.js';
import { decodeReply } from './reply.js';

export interface RequestOptions {
  /** Default 30 s: more than any operation that is waited for should take. */
  readonly timeoutMs?: number;
  /** Idempotency key: the same key gives the same answer. Default a new one. */
  readonly requestId?: string;
  /** Where the trace goes on; default the active context. */
  readonly context?: Context;
}

export interface LariatClientOptions {
  readonly connection: NatsConnection;
  /** Who asks, for events and the audit trail. */
  readonly actor: string;
  /** Of an agent: for whom it speaks. */
  readonly node?: string;
}

const DEFAULT_TIMEOUT_MS = 30_000;
/** After a restart of NATS a service may be back a little later than who asks it. */
const SERVICES_BACK_MS = 3_000;
const ASK_AGAIN_MS = 200;

/** The API as typed calls; every failure is a LariatError. */
export class LariatClient {
  readonly connection: NatsConnection;
  private readonly actor: string;
  private readonly node: string | undefined;
  private readonly reconnects: Reconnects;

  constructor(options: LariatClientOptions) {
    this.connection = options.connection;
    this.reconnects = new Reconnects(options.connection);
    this.actor = options.actor;
    this.node = options.node;
  }

  async request<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
    options: RequestOptions = {},
  ): Promise<RequestMap[Name]['reply']> {
    return (await this.requestRaw(name, body, options)) as RequestMap[Name]['reply'];
  }

  /**
   * A request whose name or answer is not in the table, e.g. one of a user's own plugin. It is sent once; one of the
   * table is sent again under its request id when NATS comes back, since its answer may be lost.
   */
  async requestRaw(name: string, body: unknown, options: RequestOptions = {}): Promise<unknown> {
    const timeout = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    try {
      const message = await this.ask(name, encodeJson(body), this.headersFor(options), timeout);
      return decodeReply(message.data);
    } catch (error) {
      throw translateRequestError(error, name, timeout);
    }
  }

  private async ask(
    name: string,
    body: Uint8Array,
    head: MsgHdrs,
    timeoutMs: number,
  ): Promise<Msg> {
    const deadline = performance.now() + timeoutMs;
    let servicesBackBy = 0;
    for (;;) {
      const timeout = Math.max(1, deadline - performance.now());
      const answer = this.connection.request(this.subjectOf(name), body, {
        timeout,
        headers: head,
      });
      if (!(name in REQUEST_DTOS)) return answer;
      try {
        const answered = await this.unlessReconnected(answer);
        if (answered !== undefined) return answered;
        servicesBackBy = performance.now() + SERVICES_BACK_MS;
      } catch (error) {
        if (!isUnheard(error) || performance.now() > Math.min(servicesBackBy, deadline))
          throw error;
        await delay(ASK_AGAIN_MS);
      }
    }
  }

  private subjectOf(name: string): string {
    return this.node !== undefined && isNodeRequest(name)
      ? nodeRequestSubject(name, this.node)
      : requestSubject(name);
  }

  /** Undefined as soon as the connection was lost and is back. */
  private async unlessReconnected(answer: Promise<Msg>): Promise<Msg | undefined> {
    let stopListening: () => void = () => undefined;
    const reconnected = new Promise<undefined>((resolve) => {
      stopListening = this.reconnects.listen(() => resolve(undefined));
    });
    // One that nobody waits for any more times out unheard.
    answer.catch(() => undefined);
    try {
      return await Promise.race([answer, reconnected]);
    } finally {
      stopListening();
    }
  }

  private headersFor(options: RequestOptions): MsgHdrs {
    const head = headers();
    head.set(HEADERS.actor, this.actor);
    const traceparent = traceparentOf(options.context ?? context.active());
    if (traceparent !== undefined) head.set(HEADERS.traceparent, traceparent);
    head.set(HEADERS.requestId, options.requestId ?? newUuid());
    return head;
  }
}

const rootOf = (error: unknown): unknown =>
  error instanceof Error && error.cause instanceof Error ? error.cause : error;

const isUnheard = (error: unknown): boolean =>
  error instanceof NoRespondersError || rootOf(error) instanceof NoRespondersError;

/** Whether a request failed for want of an answer: what it asked for may be under way, and is found again under its id. */
export const isUnanswered = (error: unknown): boolean =>
  error instanceof LariatError && (isUnheard(error.cause) || isTimeout(error.cause));

const isTimeout = (error: unknown): boolean =>
  error instanceof TimeoutError || rootOf(error) instanceof TimeoutError;

function translateRequestError(error: unknown, name: string, timeoutMs: number): unknown {
  const root = rootOf(error);
  if (root instanceof PermissionViolationError) {
    return lariatError(
      'NATS_FORBIDDEN',
      `NATS lets these credentials not ask for '${name}'. Take those of a role that may (docs/security.md), with LARIAT_NATS_CREDENTIALS.`,
      { request: name, subject: root.subject },
      error,
    );
  }
  if (isUnheard(error)) {
    return lariatError(
      'SERVICE_UNAVAILABLE',
      `No service answers '${name}'. See 'lariat status'; it may be starting: try again.`,
      { request: name },
      error,
    );
  }
  if (isTimeout(error)) {
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
