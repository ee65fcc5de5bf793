export { type PluginConfig, readConfig } from './config.js';
export { csiClients } from './grpc/serve.js';
export { type NodePart, type RunningPlugin, nodePart, startPlugin } from './plugin.js';
export type { ClusterPort } from './ports/cluster.port.js';
export type { CallScope } from './grpc/messages.js';
