export * from './definition.js';
export { operationNotFound } from './join-or-refuse.js';
export * from './liveness.js';
export * from './next-record.js';
export * from './node-commands.js';
export * from './run-operation.js';
export * from './saga-record.js';
export * from './saga-runner.js';
export * from './saga-store.js';
