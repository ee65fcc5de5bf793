export * from './clock.js';
export * from './deadline.js';
export * from './errors.js';
export * from './fault-point.js';
export * from './ids.js';
export * from './keyed-queue.js';
export * from './state-table.js';
export * from './units.js';
