import type { ErrorCode } from '@lariat/contracts';
import type { ErrorKind, LariatError } from '@lariat/kernel';

/** The codes of gRPC that a call may end with. */
export type StatusName =
  | 'CANCELLED'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'INTERNAL'
  | 'UNAVAILABLE';

/**
 * After these the sidecars ask again and take nothing for granted; after all others the request counts as refused with
 * nothing left behind of it, so that what may still happen must not end with one of those.
 */
export const NON_FINAL: ReadonlySet<StatusName> = new Set<StatusName>([
  'CANCELLED',
  'DEADLINE_EXCEEDED',
  'RESOURCE_EXHAUSTED',
  'ABORTED',
  'UNAVAILABLE',
]);

const BY_KIND: Readonly<Record<ErrorKind, StatusName>> = {
  invalid: 'INVALID_ARGUMENT',
  not_found: 'NOT_FOUND',
  conflict: 'ABORTED',
  precondition: 'FAILED_PRECONDITION',
  unavailable: 'UNAVAILABLE',
  timeout: 'DEADLINE_EXCEEDED',
  internal: 'INTERNAL',
};

const BY_CODE: Readonly<Partial<Record<ErrorCode, StatusName>>> = {
  SIZE_INVALID: 'OUT_OF_RANGE',
  SIZE_TOO_SMALL: 'OUT_OF_RANGE',
  VOLUME_SHRINK: 'OUT_OF_RANGE',
  VOLUME_NAME_TAKEN: 'ALREADY_EXISTS',
  SNAPSHOT_NAME_TAKEN: 'ALREADY_EXISTS',
  NO_CAPACITY: 'RESOURCE_EXHAUSTED',
  NOT_ENOUGH_NODES: 'RESOURCE_EXHAUSTED',
  DISK_FULL: 'RESOURCE_EXHAUSTED',
  SNAPSHOT_LIMIT: 'RESOURCE_EXHAUSTED',
  // What forbids it passes by itself.
  NODE_NOT_READY: 'UNAVAILABLE',
  IMAGE_NOT_READY: 'UNAVAILABLE',
  VOLUME_BUSY: 'ABORTED',
  CLONE_IN_PROGRESS: 'ABORTED',
  OPERATION_CANCELLED: 'ABORTED',
  // Another attachment has taken the place of the one that was asked for.
  EPOCH_STALE: 'ABORTED',
  COMMAND_FENCED: 'ABORTED',
  RECORD_STALE: 'ABORTED',
  // The service that answered so is in an unknown state; what was asked for may have happened.
  INTERNAL: 'UNAVAILABLE',
};

/** How a call ends that failed so. A code that is not of the closed set ends by its kind. */
export const statusOfError = ({ code, kind }: Pick<LariatError, 'code' | 'kind'>): StatusName =>
  (BY_CODE as Readonly<Record<string, StatusName | undefined>>)[code] ?? BY_KIND[kind];
