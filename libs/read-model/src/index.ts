export * from './answer-list.js';
export * from './list-form.js';
export * from './read-model.port.js';
export * from './record-list.js';
export * from './record-lists.js';
export * from './record-source.js';
export * from './redis/share-by-redis.js';
