import { userInfo } from 'node:os';
import type { RequestMap, RequestName } from '@lariat/contracts';
import { LariatError, newInstanceId } from '@lariat/kernel';
import type { SpanRecord } from '@lariat/telemetry';
import type { NatsConnection } from '@nats-io/nats-core';
import { ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import { runningCluster } from '../cluster/remains.js';
import type { CommandContext } from '../context.js';

/** One command's connection to the cluster, and its trace. */
export interface Session {
  readonly connection: NatsConnection;
  readonly traceId: string;
  request<Name extends RequestName>(
    name: Name,
    body: RequestMap[Name]['request'],
    timeoutMs?: number,
  ): Promise<RequestMap[Name]['reply']>;
}

/** Where NATS is, and the folder of credentials of a cluster on this machine; for others the environment says it. */
export interface BusPlace {
  readonly servers: string;
  readonly credentials?: string;
}

/** `--nats`, else the cluster that runs in the data folder, else $LARIAT_NATS_URL. */
function placeOf(context: CommandContext): BusPlace {
  if (context.natsUrl !== undefined) return { servers: context.natsUrl };
  const { credentials } = context.paths;
  const running = runningCluster(context.paths);
  if (running?.natsUrl !== undefined && running.natsUrl !== null)
    return { servers: running.natsUrl, credentials };
  const named = process.env['LARIAT_NATS_URL'];
  if (named !== undefined && named !== '') return { servers: named };
  throw new LariatError({
    kind: 'unavailable',
    code: 'CLUSTER_NOT_RUNNING',
    message: `No cluster runs in ${context.paths.dataDir}. Start one with 'lariat up', or give the URL of NATS with --nats or LARIAT_NATS_URL.`,
  });
}

function actorName(): string {
  try {
    return `cli:${userInfo().username}`;
  } catch {
    // A container's user id may have no name.
    return 'cli';
  }
}

/** An error of a command, with the trace in which it happened. */
export class TracedFailure extends Error {
  constructor(
    override readonly cause: unknown,
    readonly traceId: string,
  ) {
    super('a command failed');
  }
}

/** A connection on which any number of traces can be started. */
export interface OpenSession {
  readonly connection: NatsConnection;
  /** Runs `work` inside a root span of its own: one trace. */
  inTrace<T>(name: string, work: (session: Session) => Promise<T>): Promise<T>;
  readTrace(traceId: string): Promise<readonly SpanRecord[]>;
  close(): Promise<void>;
}

/** The libraries are loaded here, so that commands that need no cluster start at once. */
export async function openSession(
  { servers, credentials }: BusPlace,
  name: string,
  timeoutMs: number,
): Promise<OpenSession> {
  // The contracts' decorators need it, before anything that imports them.
  await import('reflect-metadata');
  const [messaging, telemetryLib] = await Promise.all([
    import('@lariat/messaging'),
    import('@lariat/telemetry'),
  ]);
  const access = credentials === undefined ? messaging.readBusAccess() : { credentials };
  const connection = await messaging.connectNats({ servers, name: `lariat ${name}`, access });
  const telemetry = telemetryLib.createTelemetry({
    serviceName: 'lariat-cli',
    serviceVersion: '0.1.0',
    instanceId: newInstanceId(),
    sink: messaging.natsSpanSink(connection),
    environment: telemetryLib.readTelemetryEnvironment(process.env),
  });
  const client = new messaging.LariatClient({ connection, actor: actorName() });
  const request: Session['request'] = (verb, body, limitMs) =>
    client.request(verb, body, { timeoutMs: limitMs ?? timeoutMs });
  const options = { kind: SpanKind.CLIENT };
  return {
    connection,
    inTrace: (spanName, work) =>
      telemetryLib.inSpan(telemetry.tracer, spanName, options, ROOT_CONTEXT, async (span) => {
        const { traceId } = span.spanContext();
        try {
          return await work({ connection, traceId, request });
        } catch (error) {
          throw error instanceof TracedFailure ? error : new TracedFailure(error, traceId);
        }
      }),
    readTrace: async (traceId) => {
      await telemetry.flush();
      return messaging.readTrace(connection, traceId);
    },
    close: async () => {
      await telemetry.shutdown();
      await connection.drain();
    },
  };
}

/** Runs `work` with a connection, inside the command's root span. */
export async function withSession<T>(
  context: CommandContext,
  name: string,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const open = await openSession(placeOf(context), name, context.timeoutMs);
  try {
    return await open.inTrace(`lariat ${name}`, async (session) => {
      const result = await work(session);
      if (context.verbose) context.printer.note(`trace: lariat trace ${session.traceId}`);
      return result;
    });
  } finally {
    await closeQuietly(context, open);
  }
}

/** The command's outcome is known by now; a NATS server that has gone must not change it. */
async function closeQuietly(context: CommandContext, open: OpenSession): Promise<void> {
  try {
    await open.close();
  } catch (error) {
    if (context.verbose) {
      context.printer.note(`note: closing the connection failed: ${String(error)}`);
    }
  }
}
