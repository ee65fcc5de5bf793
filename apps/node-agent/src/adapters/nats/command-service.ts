import { AGENT_SERVICE as SERVICE } from '@lariat/bus';
import {
  CommandLane,
  EventLane,
  LariatTransport,
  RequestLane,
  RethrowFilter,
  ServiceDiscovery,
} from '@lariat/messaging';
import type { ReconcileCounts } from '@lariat/kernel';
import type { Log, Metrics } from '@lariat/telemetry';
import { NestFactory } from '@nestjs/core';
import type { NatsConnection } from '@nats-io/nats-core';
import type { Tracer } from '@opentelemetry/api';
import { AgentModule } from '../../agent.module.js';
import type { CommandExecutor } from '../../app/command-executor.js';

export interface CommandServiceOptions {
  readonly connection: NatsConnection;
  readonly node: string;
  readonly agentInstance: string;
  readonly version: string;
  readonly tracer: Tracer;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly executor: CommandExecutor;
  readonly reconciled: ReconcileCounts;
  /** Has what the commands are taken from made. */
  readonly openConsumer: () => Promise<void>;
}

/** Serves this node's commands from JetStream, through Nest. */
export async function startCommandService(
  options: CommandServiceOptions,
): Promise<{ close(): Promise<void> }> {
  const { connection, node, tracer, metrics, log, openConsumer } = options;
  const discovery = new ServiceDiscovery(
    connection,
    {
      name: SERVICE,
      instance: options.agentInstance,
      version: options.version,
      description: `Lariat agent of node ${node}`,
    },
    { reconciled: () => options.reconciled.view() },
  );
  const strategy = new LariatTransport({
    requests: new RequestLane({ connection, service: SERVICE, discovery, tracer, metrics, log }),
    commands: new CommandLane({ connection, node, tracer, metrics, log, openConsumer }),
    events: new EventLane({ connection, service: SERVICE, tracer, metrics, log }),
    discovery,
  });
  const app = await NestFactory.createMicroservice(AgentModule.register(options.executor), {
    strategy,
    logger: ['error', 'fatal'],
  });
  app.useGlobalFilters(new RethrowFilter());
  await app.listen();
  return { close: () => app.close() };
}
