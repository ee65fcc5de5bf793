import 'reflect-metadata';
import { pluginRole } from '@lariat/bus';
import { STREAMS, eventFilter } from '@lariat/contracts';
import {
  type FaultPoints,
  ReconcileCounts,
  newInstanceId,
  noFaultPoints,
  systemClock,
  withDeadline,
} from '@lariat/kernel';
import {
  AuditTrail,
  type BusAccess,
  CommandClient,
  CommandLane,
  EventLane,
  LariatClient,
  LariatTransport,
  RequestLane,
  RethrowFilter,
  ServiceDiscovery,
  askForConsumer,
  connectNats,
  ensureStreams,
  natsSpanSink,
  onceNatsAnswers,
} from '@lariat/messaging';
import { RecordLists, shareByRedis } from '@lariat/read-model';
import {
  NO_TELEMETRY,
  type TelemetryEnvironment,
  createLog,
  createTelemetry,
  openMetrics,
} from '@lariat/telemetry';
import { type DynamicModule, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import type { NatsConnection } from '@nats-io/nats-core';
import { PLUGIN_CONTEXT, type PluginContext, type PluginDefinition } from './define-plugin.js';
import { NestLog } from './nest-log.js';
import { observeLists } from './observe-lists.js';

export interface RunPluginOptions {
  readonly natsUrl: string;
  /** With what it proves to NATS who it is. */
  readonly access?: BusAccess;
  /** Set by an agent: the node whose commands this process carries out. */
  readonly node?: string;
  /** Where traces and metrics go; default nowhere. */
  readonly environment?: TelemetryEnvironment;
  /** Where lists are kept that all instances share; without it each has its own. */
  readonly redisUrl?: string;
  /** Makes the fault points of tests; without it nothing can be armed. */
  readonly faults?: (connection: NatsConnection, process: string) => FaultPoints;
  readonly connectTimeoutMs?: number;
}

export interface RunningPlugin {
  readonly context: PluginContext;
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 30_000;
/** Less than a supervisor waits before it kills (8 s). Without NATS nothing can be given back, and nothing needs to: others take it up. */
const CLOSE_TIMEOUT_MS = 6_000;

/** Starts a plugin on its own connection; several may run in one process. Resolves when it serves. */
export async function runPlugin(
  plugin: PluginDefinition,
  options: RunPluginOptions,
): Promise<RunningPlugin> {
  const instance = newInstanceId();
  const processName = options.node === undefined ? plugin.name : `${plugin.name}-${options.node}`;
  const log = createLog(processName);
  const role = pluginRole(plugin.name);
  const { connectTimeoutMs = CONNECT_TIMEOUT_MS } = options;
  const connection = await connectNats({
    servers: options.natsUrl,
    name: processName,
    role,
    ...(options.access === undefined ? {} : { access: options.access }),
    log,
    connectTimeoutMs,
  });
  // The servers of a cluster take connections before they have a leader.
  if (role.kind === 'service')
    await onceNatsAnswers(() => ensureStreams(connection), connectTimeoutMs);
  const environment = options.environment ?? NO_TELEMETRY;
  const identity = {
    serviceName: plugin.name,
    serviceVersion: plugin.version,
    instanceId: options.node ?? instance,
  };
  const metrics = await openMetrics(identity, environment, log);
  const telemetry = createTelemetry({ ...identity, sink: natsSpanSink(connection), environment });
  const { tracer } = telemetry;
  const { redisUrl } = options;
  const shared =
    redisUrl === undefined
      ? undefined
      : await shareByRedis({ url: redisUrl, connection, clock: systemClock, log });
  const context: PluginContext = {
    plugin: plugin.name,
    instance,
    connection,
    client: new LariatClient({ connection, actor: processName }),
    commands: new CommandClient(connection, instance, tracer),
    telemetry,
    metrics,
    clock: systemClock,
    log,
    faults: options.faults?.(connection, processName) ?? noFaultPoints,
    reconciled: new ReconcileCounts(),
    lists: new RecordLists(shared?.share),
  };
  observeLists(context);
  const lane = { connection, service: plugin.name, tracer, log, metrics };
  const stopping = new AbortController();
  const openConsumer = (consumer: string, filter: string): Promise<void> =>
    askForConsumer(
      {
        ...{ connection, log, stream: STREAMS.events.name, consumer },
        filter: eventFilter(filter),
        ask: () => context.client.request('internal.event.open-consumer', { consumer, filter }),
      },
      stopping.signal,
    );
  const description = plugin.description ?? '';
  const discovery = new ServiceDiscovery(
    connection,
    {
      name: plugin.name,
      instance,
      version: plugin.version,
      description,
    },
    {
      reconciled: () => context.reconciled.view(),
      lists: () => context.lists.numbers(),
    },
  );
  const transport = new LariatTransport({
    requests: new RequestLane({ ...lane, discovery, audit: new AuditTrail(connection, log) }),
    commands:
      options.node === undefined ? undefined : new CommandLane({ ...lane, node: options.node }),
    events: new EventLane(role.kind === 'service' ? lane : { ...lane, openConsumer }),
    discovery,
  });
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(
    await hostModule(plugin, context),
    {
      strategy: transport,
      logger: new NestLog(log),
      abortOnError: false,
    },
  );
  app.useGlobalFilters(new RethrowFilter());
  await app.listen();
  return {
    context,
    close: async () => {
      stopping.abort();
      const letGo = async (): Promise<void> => {
        await app.close();
        await context.lists.close();
        shared?.close();
        await Promise.all([telemetry.shutdown(), metrics.shutdown()]);
        await connection.drain();
      };
      const closed = letGo();
      try {
        await withDeadline('giving back what it holds', CLOSE_TIMEOUT_MS, closed);
      } catch (error) {
        // What goes on of it ends with the process.
        closed.catch(() => undefined);
        log.warn('closed without giving back what it holds: is NATS away?', { error });
      }
      await connection.close();
    },
  };
}

/** The plugin's module with the context beside it, for all its parts to inject. */
async function hostModule(
  plugin: PluginDefinition,
  context: PluginContext,
): Promise<DynamicModule> {
  const provider = { provide: PLUGIN_CONTEXT, useValue: context };
  class HostModule {}
  const contextModule: DynamicModule = {
    module: class ContextModule {},
    global: true,
    providers: [provider],
    exports: [provider],
  };
  return { module: HostModule, imports: [contextModule, await moduleOf(plugin, context)] };
}

async function moduleOf(
  plugin: PluginDefinition,
  context: PluginContext,
): Promise<Type | DynamicModule> {
  return isClass(plugin.module) ? plugin.module : plugin.module(context);
}

function isClass(module: PluginDefinition['module']): module is Type {
  return /^class\b/.test(Function.prototype.toString.call(module));
}
