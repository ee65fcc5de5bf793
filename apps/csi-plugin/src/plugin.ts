import { totalmem } from 'node:os';
import { join } from 'node:path';
import { newInstanceId, withDeadline } from '@lariat/kernel';
import { LariatClient, connectNats, natsSpanSink } from '@lariat/messaging';
import { type Log, createTelemetry, openMetrics } from '@lariat/telemetry';
import { CommandJournal } from './adapters/command-journal.js';
import { JoiningCluster } from './adapters/joining-cluster.js';
import { LinuxHost } from './adapters/linux-host.js';
import { StagingFiles } from './adapters/staging-files.js';
import { controllerCalls } from './app/controller.js';
import { groupControllerCalls } from './app/group-controller.js';
import { VERSION, identityCalls } from './app/identity.js';
import { nodeCalls } from './app/node.js';
import { NodeMachine } from './app/node-machine.js';
import type { PluginConfig } from './config.js';
import type { HandlersOf, NodeCalls } from './grpc/messages.js';
import { serve } from './grpc/serve.js';
import type { ClusterPort } from './ports/cluster.port.js';

export interface RunningPlugin {
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 30_000;
/** A call that takes longer goes on in the cluster, and is asked for again. */
const CLOSE_GRACE_MS = 5_000;
const DRAIN_MS = 2_000;

/** Connects and serves; everything that it answers comes from the cluster. */
export async function startPlugin(config: PluginConfig, log: Log): Promise<RunningPlugin> {
  const name = config.node === undefined ? 'csi-controller' : `csi-${config.node}`;
  const connection = await connectNats({
    servers: config.natsUrl,
    name,
    role: { kind: config.mode === 'node' ? 'csi-node' : 'csi' },
    access: config.bus,
    log,
    connectTimeoutMs: CONNECT_TIMEOUT_MS,
  });
  const identity = {
    serviceName: 'csi-plugin',
    serviceVersion: VERSION,
    instanceId: config.node ?? newInstanceId(),
  };
  const metrics = await openMetrics(identity, config.telemetry, log);
  const telemetry = createTelemetry({
    ...identity,
    sink: natsSpanSink(connection),
    environment: config.telemetry,
  });
  const cluster = new JoiningCluster(new LariatClient({ connection, actor: name }));
  const isController = config.mode !== 'node';
  const server = await serve({
    socketPath: config.socketPath,
    services: {
      Identity: identityCalls(cluster, { isController }),
      ...(isController
        ? { Controller: controllerCalls(cluster), GroupController: groupControllerCalls(cluster) }
        : {}),
      ...nodeService(config, cluster, log),
    },
    tracer: telemetry.tracer,
    metrics,
    log,
  });
  return {
    close: async () => {
      await server.close(CLOSE_GRACE_MS);
      await Promise.all([telemetry.shutdown(), metrics.shutdown()]);
      // Without NATS there is nobody to drain to.
      await withDeadline('the last messages', DRAIN_MS, connection.drain()).catch(
        (error: unknown) => log.warn('closed without the last messages: is NATS away?', { error }),
      );
      await connection.close();
    },
  };
}

function nodeService(
  { mode, node, dataDir, maxVolumes }: PluginConfig,
  cluster: ClusterPort,
  log: Log,
): { readonly Node?: HandlersOf<NodeCalls> } {
  if (mode === 'controller' || node === undefined || dataDir === undefined) return {};
  return { Node: nodePart({ cluster, node, dataDir, maxVolumes, log }) };
}

export interface NodePart {
  readonly cluster: ClusterPort;
  readonly node: string;
  readonly dataDir: string;
  readonly maxVolumes: number | undefined;
  readonly log: Pick<Log, 'info'>;
}

/** The calls on this machine, whatever cluster its volumes are of. */
export function nodePart({ dataDir, ...part }: NodePart): HandlersOf<NodeCalls> {
  const host = new LinuxHost(new CommandJournal(join(dataDir, 'commands.jsonl')));
  const stagings = new StagingFiles(join(dataDir, 'stagings'));
  return nodeCalls({
    ...part,
    ...{ machine: new NodeMachine(host), stagings, memoryBytes: totalmem() },
  });
}
