export { readList } from './client/read-list.js';
export { type ClusterFile, type ProcessRecord, readClusterFile } from './cluster/cluster-file.js';
export { defaultLaunchPlan, type LaunchPlan, type NodeConfig } from './cluster/launch-plan.js';
export { findNatsServer } from './cluster/nats-server.js';
export {
  CHECKOUT,
  clusterPaths,
  type ClusterPaths,
  pluginHostFile,
  programFile,
} from './cluster/paths.js';
export {
  identify,
  isRunning,
  type ProcessIdentity,
  signalProcess,
  waitForEnd,
} from './cluster/process-identity.js';
export { stopRemains } from './cluster/remains.js';
export { DEFAULT_TIMING, PROCESS_MACHINE } from './cluster/supervised-process.js';
export { type Cluster, type ClusterOptions, startCluster } from './cluster/start-cluster.js';
export { waitForNodes } from './cluster/wait-for-nodes.js';
export { NbdClient } from './demo/nbd-client.js';
export { findLeftovers } from './demo/leftovers.js';
export { findTargetSocket } from './demo/target-rpc.js';
