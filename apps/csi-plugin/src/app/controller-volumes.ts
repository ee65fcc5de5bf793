import { hasCode } from '@lariat/contracts';
import { assertAccess, whyNotAccess } from '../domain/access.js';
import { capacityOf } from '../domain/capacity.js';
import { pageOf } from '../domain/page.js';
import { classParametersOf, mutableParametersOf } from '../domain/parameters.js';
import { Refusal, requireText } from '../domain/refusal.js';
import { isInRange, parseRange, sizeIn } from '../domain/size-range.js';
import { isIn } from '../domain/topology.js';
import { statusAnswer, volumeAnswer } from '../domain/volume-answer.js';
import type { ControllerCalls, HandlersOf } from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';
import { createVolume } from './create-volume.js';
import { findVolume, requireVolume } from './find-volume.js';

/** As volume.create has it. */
const DEFAULT_REPLICAS = 3;

type Names =
  | 'CreateVolume'
  | 'DeleteVolume'
  | 'ValidateVolumeCapabilities'
  | 'ListVolumes'
  | 'GetCapacity'
  | 'ControllerExpandVolume'
  | 'ControllerGetVolume'
  | 'ControllerModifyVolume';

/** The calls on volumes as such; where they are used is controller-publish.ts. */
export function volumeCalls(cluster: ClusterPort): HandlersOf<Pick<ControllerCalls, Names>> {
  return {
    CreateVolume: (request, scope) => createVolume(cluster, request, scope),

    DeleteVolume: async ({ volumeId }, scope) => {
      const volume = await findVolume(cluster, requireText(volumeId, 'volume_id'), scope);
      if (volume === undefined) return {};
      const { snapshots } = await cluster.request('snapshot.list', { volume: volume.id }, scope);
      const kept = snapshots.filter(({ user }) => user);
      if (kept.length > 0) {
        throw new Refusal(
          'FAILED_PRECONDITION',
          `Volume '${volume.name}' has ${kept.length} snapshots, which would go with it: delete them first.`,
        );
      }
      try {
        await cluster.request('volume.delete', { volume: volume.id }, scope);
      } catch (error) {
        if (!hasCode(error, 'VOLUME_NOT_FOUND')) throw error;
      }
      return {};
    },

    ValidateVolumeCapabilities: async (request, scope) => {
      const { volumeId, volumeCapabilities, volumeContext, parameters, mutableParameters } =
        request;
      requireText(volumeId, 'volume_id');
      if (volumeCapabilities.length === 0)
        throw new Refusal('INVALID_ARGUMENT', 'volume_capabilities is missing: give at least one.');
      await requireVolume(cluster, volumeId, scope);
      const why = volumeCapabilities.map(whyNotAccess).find((reason) => reason !== undefined);
      if (why !== undefined) return { message: why };
      classParametersOf(parameters);
      mutableParametersOf(mutableParameters);
      return {
        confirmed: { volumeContext, volumeCapabilities, parameters, mutableParameters },
        message: '',
      };
    },

    ListVolumes: async (request, scope) => {
      const { volumes } = await cluster.request('volume.list', {}, scope);
      const listed = volumes.filter(({ state }) => state !== 'creating' && state !== 'deleting');
      const { entries, nextToken } = pageOf(listed, ({ id }) => id, request);
      return {
        entries: entries.map((volume) => ({
          volume: volumeAnswer(volume),
          status: statusAnswer(volume),
        })),
        nextToken,
      };
    },

    GetCapacity: async ({ volumeCapabilities, parameters, accessibleTopology }, scope) => {
      const { replicas = DEFAULT_REPLICAS } = classParametersOf(parameters);
      const isPossible = volumeCapabilities.every((one) => whyNotAccess(one) === undefined);
      const { nodes } = await cluster.request('node.list', {}, scope);
      const usable = nodes.filter(
        (node) =>
          node.state === 'ready' &&
          node.schedulable &&
          isIn(node, accessibleTopology?.segments ?? {}),
      );
      const { availableBytes, largestBytes } = isPossible
        ? capacityOf(usable, replicas)
        : { availableBytes: 0n, largestBytes: 0n };
      return {
        availableCapacity: String(availableBytes),
        maximumVolumeSize: { value: String(largestBytes) },
      };
    },

    ControllerExpandVolume: async ({ volumeId, capacityRange, volumeCapability }, scope) => {
      requireText(volumeId, 'volume_id');
      if (capacityRange === null)
        throw new Refusal('INVALID_ARGUMENT', 'capacity_range is missing: say how large.');
      if (volumeCapability !== null) assertAccess([volumeCapability]);
      const range = parseRange(capacityRange);
      const volume = await requireVolume(cluster, volumeId, scope);
      if (isInRange(volume.sizeBytes, range))
        return { capacityBytes: String(volume.sizeBytes), nodeExpansionRequired: true };
      const sizeBytes = sizeIn(range);
      if (sizeBytes < volume.sizeBytes) {
        throw new Refusal(
          'OUT_OF_RANGE',
          `Volume '${volume.name}' has ${volume.sizeBytes} bytes and can't be made smaller.`,
        );
      }
      const grown = await cluster.request('volume.expand', { volume: volume.id, sizeBytes }, scope);
      return { capacityBytes: String(grown.sizeBytes), nodeExpansionRequired: true };
    },

    ControllerGetVolume: async ({ volumeId }, scope) => {
      const volume = await requireVolume(cluster, volumeId, scope);
      return { volume: volumeAnswer(volume), status: statusAnswer(volume) };
    },

    ControllerModifyVolume: async ({ volumeId, mutableParameters }, scope) => {
      requireText(volumeId, 'volume_id');
      const { qos, replicas, rebuildMibPerSecond } = mutableParametersOf(mutableParameters);
      const { id: volume, replicaCount } = await requireVolume(cluster, volumeId, scope);
      if (Object.keys(qos).length > 0)
        await cluster.request('volume.update', { volume, qos }, scope);
      if (rebuildMibPerSecond !== undefined)
        await cluster.request(
          'rebuild.update',
          { volume, mibPerSecond: rebuildMibPerSecond },
          scope,
        );
      if (replicas !== undefined && replicas !== replicaCount)
        await cluster.request('volume.update', { volume, replicas }, scope);
      return {};
    },
  };
}
