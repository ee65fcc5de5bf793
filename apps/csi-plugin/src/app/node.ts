import { KeyedQueue } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import { segmentsOf } from '../domain/topology.js';
import { volumeLimit } from '../domain/volume-limit.js';
import type { CallScope, HandlersOf, NodeCalls } from '../grpc/messages.js';
import { publishOnNodeCalls } from './node-publish.js';
import { type StageParts, stageCalls } from './node-stage.js';
import { usageCalls } from './node-usage.js';

export interface NodeParts extends StageParts {
  /** Of an operator; undefined: what the node can take. */
  readonly maxVolumes: number | undefined;
  readonly memoryBytes: number;
  readonly log: Pick<Log, 'info'>;
}

const CAPABILITIES = [
  'STAGE_UNSTAGE_VOLUME',
  'GET_VOLUME_STATS',
  'EXPAND_VOLUME',
  'VOLUME_CONDITION',
  'SINGLE_NODE_MULTI_WRITER',
  'VOLUME_MOUNT_GROUP',
];

export function nodeCalls(parts: NodeParts): HandlersOf<NodeCalls> {
  const { cluster, node, maxVolumes, memoryBytes, log } = parts;
  const volumes = new KeyedQueue();
  /** One call on a volume after the other: the second finds what the first has done. */
  const inOrder =
    <Request extends { readonly volumeId: string }, Answer>(
      handle: (request: Request, scope: CallScope) => Promise<Answer>,
    ) =>
    (request: Request, scope: CallScope): Promise<Answer> =>
      volumes.run(request.volumeId, () => handle(request, scope));
  const stage = stageCalls(parts);
  const publish = publishOnNodeCalls(parts);
  const usage = usageCalls(parts);
  return {
    NodeGetCapabilities: () =>
      Promise.resolve({ capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })) }),
    NodeGetInfo: async (_request, scope) => {
      const view = await cluster.request('node.get', { node }, scope);
      const { count, reason } = volumeLimit(view, memoryBytes, maxVolumes);
      log.info('volumes that may be used here', { count, reason });
      return {
        nodeId: node,
        maxVolumesPerNode: String(count),
        accessibleTopology: { segments: segmentsOf(view) },
      };
    },
    NodeStageVolume: inOrder(stage.NodeStageVolume),
    NodeUnstageVolume: inOrder(stage.NodeUnstageVolume),
    NodePublishVolume: inOrder(publish.NodePublishVolume),
    NodeUnpublishVolume: inOrder(publish.NodeUnpublishVolume),
    NodeGetVolumeStats: usage.NodeGetVolumeStats,
    NodeExpandVolume: inOrder(usage.NodeExpandVolume),
  };
}
