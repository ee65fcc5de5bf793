import { BlockIoError, BlockIoFailure, ReservationConflictError } from '../block-device.js';
import { doNotRetry, type NvmeStatus, Status, statusCode, statusType } from './status.js';

const STATUS_OF_FAILURE = {
  [BlockIoFailure.outOfRange]: doNotRetry(Status.lbaOutOfRange),
  [BlockIoFailure.noSpace]: doNotRetry(Status.capacityExceeded),
  // Not a path error: another path to the same namespace leads to the same lost device.
  [BlockIoFailure.gone]: doNotRetry(Status.namespaceNotReady),
  [BlockIoFailure.aborted]: Status.abortedByRequest,
  [BlockIoFailure.readOnly]: doNotRetry(Status.namespaceWriteProtected),
} as const;

/** What a target answers when its device rejected a command. */
export function statusOfBlockError(error: unknown, isRead: boolean): NvmeStatus {
  if (!(error instanceof BlockIoError)) return Status.internalError;
  if (error instanceof ReservationConflictError) return doNotRetry(Status.reservationConflict);
  if (error.failure === BlockIoFailure.media)
    return isRead ? Status.unrecoveredReadError : Status.writeFault;
  return STATUS_OF_FAILURE[error.failure];
}

const FAILURE_OF_STATUS: ReadonlyMap<NvmeStatus, BlockIoFailure> = new Map<
  NvmeStatus,
  BlockIoFailure
>([
  [Status.lbaOutOfRange, BlockIoFailure.outOfRange],
  [Status.capacityExceeded, BlockIoFailure.noSpace],
  [Status.namespaceWriteProtected, BlockIoFailure.readOnly],
  [Status.writeToReadOnlyRange, BlockIoFailure.readOnly],
  [Status.invalidNamespace, BlockIoFailure.gone],
  [Status.namespaceNotReady, BlockIoFailure.gone],
  [Status.abortedByRequest, BlockIoFailure.aborted],
  [Status.abortedSqDeletion, BlockIoFailure.aborted],
]);

const CONFLICTS: ReadonlySet<NvmeStatus> = new Set([
  Status.reservationConflict,
  Status.abortedByPreempt,
]);

/** How a host's caller sees a status other than success. */
export function blockErrorOfStatus(
  status: NvmeStatus,
  message: string,
  cause: unknown,
): BlockIoError {
  if (CONFLICTS.has(statusCode(status))) return new ReservationConflictError(message, cause);
  const failure =
    statusType(status) === 3 ? BlockIoFailure.gone : FAILURE_OF_STATUS.get(statusCode(status));
  return new BlockIoError(failure ?? BlockIoFailure.media, message, cause);
}
