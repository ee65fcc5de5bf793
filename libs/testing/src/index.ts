export * from './nats-fault-points.js';
