export * from './in-span.js';
export * from './log.js';
export * from './reserved-ids.js';
export * from './sink-exporter.js';
export * from './span-record.js';
export * from './telemetry.js';
export * from './traceparent.js';
