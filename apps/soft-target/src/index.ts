export { createTarget, type SoftTarget, type TargetOptions } from './app/target.js';
export { createLog, silentLog, type LevelledLog, type Log } from './app/log.js';
export {
  startRpcServer,
  RpcSocketError,
  type RpcServer,
  type RpcServerOptions,
} from './rpc/rpc-server.js';
