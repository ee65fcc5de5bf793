/**
 * A command's status as it stands in bits 15:1 of the completion's last word: SC in bits 7:0, SCT in bits
 * 10:8, "more" in bit 13 and "do not retry" in bit 14.
 */
export type NvmeStatus = number;

const DO_NOT_RETRY = 1 << 14;

const generic = (code: number): NvmeStatus => code;
const specific = (code: number): NvmeStatus => (1 << 8) | code;
const media = (code: number): NvmeStatus => (2 << 8) | code;
const path = (code: number): NvmeStatus => (3 << 8) | code;

/** Status codes by their names in the NVMe base, NVM command set and fabrics specifications. */
export const Status = Object.freeze({
  success: generic(0x00),
  invalidOpcode: generic(0x01),
  invalidField: generic(0x02),
  commandIdConflict: generic(0x03),
  dataTransferError: generic(0x04),
  internalError: generic(0x06),
  abortedByRequest: generic(0x07),
  abortedSqDeletion: generic(0x08),
  invalidNamespace: generic(0x0b),
  commandSequenceError: generic(0x0c),
  dataSglLengthInvalid: generic(0x0f),
  sglDescriptorTypeInvalid: generic(0x11),
  sglOffsetInvalid: generic(0x16),
  hostIdInconsistentFormat: generic(0x18),
  keepAliveTimeoutInvalid: generic(0x1a),
  abortedByPreempt: generic(0x1b),
  namespaceWriteProtected: generic(0x20),
  transientTransportError: generic(0x22),
  hostIdNotInitialized: generic(0x27),
  lbaOutOfRange: generic(0x80),
  capacityExceeded: generic(0x81),
  namespaceNotReady: generic(0x82),
  reservationConflict: generic(0x83),
  invalidQueueIdentifier: specific(0x01),
  asyncEventLimitExceeded: specific(0x05),
  invalidLogPage: specific(0x09),
  featureNotSaveable: specific(0x0d),
  featureNotChangeable: specific(0x0e),
  writeToReadOnlyRange: specific(0x82),
  connectIncompatibleFormat: specific(0x80),
  connectControllerBusy: specific(0x81),
  connectInvalidParameters: specific(0x82),
  connectInvalidHost: specific(0x84),
  writeFault: media(0x80),
  unrecoveredReadError: media(0x81),
  compareFailure: media(0x85),
  internalPathError: path(0x00),
  anaPersistentLoss: path(0x01),
  anaInaccessible: path(0x02),
  anaTransition: path(0x03),
} as const);

export function doNotRetry(status: NvmeStatus): NvmeStatus {
  return status | DO_NOT_RETRY;
}

export function isDoNotRetry(status: NvmeStatus): boolean {
  return (status & DO_NOT_RETRY) !== 0;
}

/** Type and code alone, for comparison with `Status`. */
export function statusCode(status: NvmeStatus): NvmeStatus {
  return status & 0x7ff;
}

/** 0 generic, 1 command specific, 2 media, 3 path. */
export function statusType(status: NvmeStatus): number {
  return (status >> 8) & 0x7;
}

const NAMES: ReadonlyMap<NvmeStatus, string> = new Map(
  Object.entries(Status).map(([name, code]) => [code, name]),
);

/** e.g. `lbaOutOfRange (sct 0, sc 0x80)`. */
export function describeStatus(status: NvmeStatus): string {
  const name = NAMES.get(statusCode(status)) ?? 'status';
  return `${name} (sct ${statusType(status)}, sc 0x${(status & 0xff).toString(16)})`;
}
