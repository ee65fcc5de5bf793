export * from './credentials.js';
export * from './permissions.js';
export * from './request-names.js';
export * from './roles.js';
export * from './server-config.js';
export * from './subjects.js';
