export * from './linearizability.js';
export * from './nats-fault-points.js';
export * from './nats-server.js';
export * from './otlp-receiver.js';
export * from './redis-server.js';
export * from './register-history.js';
export * from './span-faults.js';
