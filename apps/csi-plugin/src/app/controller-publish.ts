import { type VolumeView, hasCode } from '@lariat/contracts';
import { isDnsLabel } from '@lariat/kernel';
import { requireAccess } from '../domain/access.js';
import { chooseFrontend } from '../domain/choose-frontend.js';
import { Refusal, requireText } from '../domain/refusal.js';
import type { ControllerCalls, HandlersOf, Texts } from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';
import { findVolume, requireVolume } from './find-volume.js';

/** Publishing attaches: the engine, and the block device on the node. */
export function publishCalls(
  cluster: ClusterPort,
): HandlersOf<Pick<ControllerCalls, 'ControllerPublishVolume' | 'ControllerUnpublishVolume'>> {
  return {
    ControllerPublishVolume: async (request, scope) => {
      const { volumeId, nodeId, volumeCapability, readonly, volumeContext } = request;
      requireText(volumeId, 'volume_id');
      requireText(nodeId, 'node_id');
      requireAccess(volumeCapability);
      if (readonly) {
        throw new Refusal(
          'INVALID_ARGUMENT',
          'readonly is not offered here (PUBLISH_READONLY): mount read-only on the node instead.',
        );
      }
      const volume = await requireVolume(cluster, volumeId, scope);
      if (!isDnsLabel(nodeId)) throw new Refusal('NOT_FOUND', `There is no node '${nodeId}'.`);
      const node = await cluster.request('node.get', { node: nodeId }, scope);
      const { attachment } = volume;
      if (attachment !== null && attachment.node !== nodeId) {
        throw new Refusal(
          'FAILED_PRECONDITION',
          `Volume '${volume.name}' is published on node '${attachment.node}': unpublish it there first.`,
        );
      }
      if (volume.state === 'attached') return { publishContext: contextOf(volume) };
      const frontend = attachment?.frontend ?? chooseFrontend(node, volumeContext['frontend']);
      const body = { volume: volume.id, node: nodeId, frontend, keepsContent: true };
      return { publishContext: contextOf(await cluster.request('volume.attach', body, scope)) };
    },

    ControllerUnpublishVolume: async ({ volumeId, nodeId }, scope) => {
      const volume = await findVolume(cluster, requireText(volumeId, 'volume_id'), scope);
      const on = volume?.attachment?.node;
      // Without a node: from wherever it is.
      if (volume === undefined || on === undefined || (nodeId !== '' && nodeId !== on)) return {};
      try {
        await cluster.request('volume.detach', { volume: volume.id }, scope);
      } catch (error) {
        if (!hasCode(error, 'VOLUME_NOT_FOUND', 'VOLUME_NOT_ATTACHED')) throw error;
      }
      return {};
    },
  };
}

/** For whom it concerns; the node part asks the cluster itself. */
function contextOf({ attachment }: VolumeView): Texts {
  if (attachment === null) return {};
  const { epoch, frontend, endpoint } = attachment;
  return { epoch: String(epoch), frontend, endpoint: endpoint ?? '' };
}
