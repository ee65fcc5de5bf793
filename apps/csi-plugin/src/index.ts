export { type PluginConfig, readConfig } from './config.js';
export { csiClients } from './grpc/serve.js';
export { type RunningPlugin, startPlugin } from './plugin.js';
