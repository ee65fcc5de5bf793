export * from './nats-fault-points.js';
export * from './nats-server.js';
