import { type ErrorKind, LariatError, type LariatErrorInit } from '@lariat/kernel';

/**
 * Every error code that a caller can meet, with who must act (its kind). Closed: an error that is not here
 * is not part of the interface. Codes of issues yet to come are added with the feature.
 */
export const ERROR_KIND_BY_CODE = {
  // The request itself.
  REQUEST_MALFORMED: 'invalid',
  REQUEST_INVALID: 'invalid',
  NAME_INVALID: 'invalid',
  SIZE_INVALID: 'invalid',
  SIZE_TOO_SMALL: 'invalid',
  REPLICAS_INVALID: 'invalid',
  FRONTEND_INVALID: 'invalid',
  FRONTEND_UNSUPPORTED: 'precondition',
  SOURCE_UNSUPPORTED: 'invalid',
  FILE_SYSTEM_UNSUPPORTED: 'invalid',
  FILE_SYSTEM_UUID_INVALID: 'invalid',
  // Things that are not there.
  VOLUME_NOT_FOUND: 'not_found',
  SNAPSHOT_NOT_FOUND: 'not_found',
  REPLICA_NOT_FOUND: 'not_found',
  NODE_NOT_FOUND: 'not_found',
  DISK_NOT_FOUND: 'not_found',
  IMAGE_NOT_FOUND: 'not_found',
  IMAGE_COPY_NOT_FOUND: 'not_found',
  OPERATION_NOT_FOUND: 'not_found',
  ORPHAN_NOT_FOUND: 'not_found',
  TRACE_NOT_FOUND: 'not_found',
  // Another caller was first.
  VOLUME_NAME_TAKEN: 'conflict',
  SNAPSHOT_NAME_TAKEN: 'conflict',
  IMAGE_NAME_TAKEN: 'conflict',
  DISK_TAKEN: 'conflict',
  OPERATION_IN_PROGRESS: 'conflict',
  REVISION_CONFLICT: 'conflict',
  // The state forbids it until somebody changes something.
  VOLUME_ATTACHED: 'precondition',
  VOLUME_NOT_ATTACHED: 'precondition',
  VOLUME_ATTACHED_ELSEWHERE: 'precondition',
  VOLUME_BUSY: 'precondition',
  VOLUME_FAULTED: 'precondition',
  VOLUME_HEALTHY: 'precondition',
  VOLUME_SHRINK: 'precondition',
  VOLUME_IN_DOUBT: 'precondition',
  CONTENT_NOT_BLANK: 'precondition',
  CONTENT_NOT_INTENDED: 'precondition',
  NO_CAPACITY: 'precondition',
  NOT_ENOUGH_NODES: 'precondition',
  NODE_NOT_READY: 'precondition',
  NODE_IN_USE: 'precondition',
  DISK_IN_USE: 'precondition',
  DISK_FOREIGN_CONTENT: 'precondition',
  DISK_FULL: 'precondition',
  SNAPSHOT_IN_USE: 'precondition',
  SNAPSHOT_LIMIT: 'precondition',
  CLONE_IN_PROGRESS: 'precondition',
  IMAGE_NOT_READY: 'precondition',
  IMAGE_COPY_FAILED: 'precondition',
  IMAGE_COPY_EXISTS: 'precondition',
  IMAGE_COPY_NOT_SEALED: 'precondition',
  IMAGE_COPY_IN_USE: 'precondition',
  IMAGE_IN_USE: 'precondition',
  IMAGE_NOT_BENEATH: 'precondition',
  LAST_REPLICA: 'precondition',
  DATA_LOSS_NOT_ACCEPTED: 'precondition',
  OPERATION_NOT_CANCELLABLE: 'precondition',
  OPERATION_CANCELLED: 'precondition',
  // A command to a node.
  COMMAND_EXPIRED: 'timeout',
  COMMAND_FENCED: 'precondition',
  EPOCH_STALE: 'precondition',
  NOT_OWNED: 'precondition',
  RECORD_STALE: 'precondition',
  GATE_EXPIRED: 'conflict',
  TARGET_UNAVAILABLE: 'unavailable',
  TARGET_REFUSED: 'internal',
  LEG_UNREACHABLE: 'unavailable',
  IMAGE_SOURCE_LOST: 'unavailable',
  // The import of an image.
  IMAGE_CHECKSUM_INVALID: 'invalid',
  IMAGE_CHECKSUM_MISMATCH: 'precondition',
  IMAGE_FORMAT_UNSUPPORTED: 'invalid',
  IMAGE_FORMAT_MISMATCH: 'invalid',
  IMAGE_BACKING_FILE: 'invalid',
  IMAGE_ENCRYPTED: 'invalid',
  IMAGE_DATA_FILE: 'invalid',
  IMAGE_CORRUPT: 'invalid',
  IMAGE_TRUNCATED: 'precondition',
  IMAGE_TOO_LARGE: 'invalid',
  IMAGE_EMPTY: 'invalid',
  IMAGE_SOURCE_INVALID: 'invalid',
  IMAGE_SOURCE_BLOCKED: 'invalid',
  IMAGE_SOURCE_NOT_FOUND: 'precondition',
  IMAGE_SOURCE_REFUSED: 'precondition',
  IMAGE_SOURCE_CHANGED: 'precondition',
  IMAGE_SOURCE_INCONSISTENT: 'precondition',
  IMAGE_SOURCE_UNAVAILABLE: 'unavailable',
  IMAGE_SOURCE_TOO_SLOW: 'unavailable',
  IMAGE_REDIRECT_REFUSED: 'invalid',
  IMAGE_FILES_CLOSED: 'precondition',
  IMAGE_DRAFT_UNREACHABLE: 'unavailable',
  IMAGE_TOOL_MISSING: 'precondition',
  IMAGE_CONVERSION_FAILED: 'precondition',
  IMAGE_SCRATCH_FULL: 'precondition',
  // The system.
  NATS_UNAVAILABLE: 'unavailable',
  SERVICE_UNAVAILABLE: 'unavailable',
  SERVICE_SHUTTING_DOWN: 'unavailable',
  DEADLINE_EXCEEDED: 'timeout',
  RECORD_CORRUPT: 'internal',
  IMAGE_COPY_CORRUPT: 'internal',
  INTERNAL: 'internal',
} as const satisfies Readonly<Record<string, ErrorKind>>;

export type ErrorCode = keyof typeof ERROR_KIND_BY_CODE;

/** A LariatError of the closed set; the kind follows from the code. */
export function lariatError(
  code: ErrorCode,
  message: string,
  details?: LariatErrorInit['details'],
  cause?: unknown,
): LariatError {
  return new LariatError({
    code,
    kind: ERROR_KIND_BY_CODE[code],
    message,
    ...(details === undefined ? {} : { details }),
    ...(cause === undefined ? {} : { cause }),
  });
}

export function hasCode(reason: unknown, ...codes: readonly ErrorCode[]): boolean {
  return reason instanceof LariatError && (codes as readonly string[]).includes(reason.code);
}
