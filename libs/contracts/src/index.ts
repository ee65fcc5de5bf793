// Before any DTO class: their decorators keep what they say in it.
import 'reflect-metadata';

export * from './commands.js';
export * from './dto/fields.js';
export * from './dto/image.dto.js';
export * from './dto/internal.dto.js';
export * from './dto/node.dto.js';
export * from './dto/operation.dto.js';
export * from './dto/placement.dto.js';
export * from './dto/recovery.dto.js';
export * from './dto/validation.js';
export * from './dto/qos.dto.js';
export * from './dto/volume.dto.js';
export * from './error-codes.js';
export * from './events.js';
export * from './image.js';
export * from './node-survey.js';
export * from './node.js';
export * from './nqn.js';
export * from './operation.js';
export * from './placement.js';
export * from './record-position.js';
export * from './recovery.js';
export * from './requests.js';
export * from './subjects.js';
export * from './qos.js';
export * from './volume-change.js';
export * from './volume.js';
