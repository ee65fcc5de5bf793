import { type BusRole, inboxOf, readSeed, userOf } from '@lariat/bus';
import {
  AuthorizationError,
  type ConnectionOptions,
  type NatsConnection,
  PermissionViolationError,
  nkeyAuthenticator,
} from '@nats-io/nats-core';
import { connect } from '@nats-io/transport-node';
import { lariatError } from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import { type Log, withoutSecrets } from '@lariat/telemetry';
import type { BusAccess } from './bus-access.js';

export interface ConnectOptions {
  /** One URL, or those of several servers of a cluster with commas between them. */
  readonly servers: string;
  /** Shown by `nats server report connections`. */
  readonly name: string;
  /** As whom; default a user of the API. */
  readonly role?: BusRole;
  /** Default none: for a server that takes anybody. */
  readonly access?: BusAccess;
  /** Told of what NATS refuses. */
  readonly log?: Pick<Log, 'error'>;
  /** How long the first connection is tried; afterwards reconnection never gives up. */
  readonly connectTimeoutMs?: number;
}

const RETRY_MS = 200;
/** A server that is told of a new user may be a moment late. */
const REFUSED_MS = 1_000;

/**
 * A connection that survives restarts of NATS. Throws NATS_UNAVAILABLE when the first try runs out, NATS_CREDENTIALS_REFUSED
 * or NATS_TLS_FAILED when that is why.
 */
export async function connectNats(options: ConnectOptions): Promise<NatsConnection> {
  const role = options.role ?? { kind: 'api' };
  const timeoutMs = options.connectTimeoutMs ?? 5_000;
  const settings = settingsOf(options, role);
  const began = performance.now();
  for (;;) {
    try {
      const timeout = Math.max(RETRY_MS, began + timeoutMs - performance.now());
      const connection = await connectAsNamed({ ...settings, timeout });
      void tellOfRefusals(connection, role, options);
      return connection;
    } catch (cause) {
      const final = failureOf(cause, options, role);
      const limitMs = final.code === 'NATS_UNAVAILABLE' ? timeoutMs : REFUSED_MS;
      if (performance.now() + RETRY_MS >= began + limitMs) throw final;
      await delay(RETRY_MS);
    }
  }
}

/**
 * A server of a cluster tells of the others also while it refuses, and nats.js takes each of them for a new one to try: it
 * would be refused in turn by all, for ever. So none is heard of before a first success, and then it connects anew.
 */
async function connectAsNamed(settings: ConnectionOptions): Promise<NatsConnection> {
  const first = await connect({ ...settings, ignoreClusterUpdates: true });
  if ((first.info?.connect_urls ?? []).length === 0) return first;
  try {
    return await connect(settings);
  } finally {
    await first.close();
  }
}

function settingsOf({ servers, name, access }: ConnectOptions, role: BusRole): ConnectionOptions {
  return {
    servers: servers.split(','),
    name,
    inboxPrefix: inboxOf(role),
    ...(access?.credentials === undefined
      ? {}
      : { authenticator: nkeyAuthenticator(readSeed(access.credentials, role)) }),
    ...(access?.tls === undefined ? {} : { tls: access.tls }),
    maxReconnectAttempts: -1,
    // Credentials that are changed on both sides may not fit for a while.
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: RETRY_MS,
    pingInterval: 10_000,
    // Else the client makes an Error with its stack for every request it sends, a tenth of a service's time.
    noAsyncTraces: true,
  };
}

const TLS_FAULT = /certificate|self.signed|tls|ssl|handshake|altname/i;

function failureOf(cause: unknown, options: ConnectOptions, role: BusRole) {
  const servers = withoutSecrets(options.servers);
  const user = userOf(role);
  // Who was too late to say who it is was not refused: it may be quicker the next time.
  if (cause instanceof AuthorizationError && !/timeout/i.test(cause.message)) {
    const { credentials } = options.access ?? {};
    const message =
      credentials === undefined
        ? `NATS at ${servers} asks who this is: set LARIAT_NATS_CREDENTIALS to the credentials of '${user}'.`
        : `NATS at ${servers} refuses the credentials of '${user}' (${credentials}): its configuration must have their public key.`;
    return lariatError('NATS_CREDENTIALS_REFUSED', message, { servers, user }, cause);
  }
  if (TLS_FAULT.test(textsOf(cause)))
    return lariatError(
      'NATS_TLS_FAILED',
      `There is no TLS with NATS at ${servers}: ${textsOf(cause)}. Look at LARIAT_NATS_TLS_CA, _CERT and _KEY, and at what the server has.`,
      { servers },
      cause,
    );
  const { tls } = options.access ?? {};
  // A server that wants a certificate closes the connection of who has none without a word.
  const hint =
    tls !== undefined && tls.certFile === undefined
      ? ' If it wants a certificate, name it in LARIAT_NATS_TLS_CERT.'
      : '';
  return lariatError(
    'NATS_UNAVAILABLE',
    `No NATS server answers at ${servers}. Start one ('lariat up'), or give its URL with --nats or LARIAT_NATS_URL.${hint}`,
    { servers },
    cause,
  );
}

function textsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${textsOf(error.cause)}`;
}

/** Whoever asked learns it too, where anybody waits; a message that nobody waits for is told of here alone. */
async function tellOfRefusals(
  connection: NatsConnection,
  role: BusRole,
  { log }: ConnectOptions,
): Promise<void> {
  if (log === undefined) return;
  for await (const status of connection.status()) {
    if (status.type !== 'error' || !(status.error instanceof PermissionViolationError)) continue;
    const { operation, subject } = status.error;
    log.error('refused by NATS', { user: userOf(role), operation, subject });
  }
}
