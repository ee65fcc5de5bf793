import type { ControllerCalls, HandlersOf } from '../grpc/messages.js';
import type { ClusterPort } from '../ports/cluster.port.js';
import { publishCalls } from './controller-publish.js';
import { snapshotCalls } from './controller-snapshots.js';
import { volumeCalls } from './controller-volumes.js';

const CAPABILITIES = [
  'CREATE_DELETE_VOLUME',
  'PUBLISH_UNPUBLISH_VOLUME',
  'LIST_VOLUMES',
  'GET_CAPACITY',
  'CREATE_DELETE_SNAPSHOT',
  'LIST_SNAPSHOTS',
  'CLONE_VOLUME',
  'EXPAND_VOLUME',
  'LIST_VOLUMES_PUBLISHED_NODES',
  'VOLUME_CONDITION',
  'GET_VOLUME',
  'SINGLE_NODE_MULTI_WRITER',
  'MODIFY_VOLUME',
  'GET_SNAPSHOT',
];

export const controllerCalls = (cluster: ClusterPort): HandlersOf<ControllerCalls> => ({
  ...volumeCalls(cluster),
  ...publishCalls(cluster),
  ...snapshotCalls(cluster),
  ControllerGetCapabilities: () =>
    Promise.resolve({ capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })) }),
});
