export * from './define-plugin.js';
export * from './load-plugin.js';
export * from './run-plugin.js';
export * from './sagas.js';
export * from './test-faults.js';
