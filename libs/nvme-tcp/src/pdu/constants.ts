/** PDU types: NVMe/TCP Transport Specification, figure "PDU Type". */
export const PduType = Object.freeze({
  icReq: 0x00,
  icResp: 0x01,
  h2cTermReq: 0x02,
  c2hTermReq: 0x03,
  capsuleCmd: 0x04,
  capsuleResp: 0x05,
  h2cData: 0x06,
  c2hData: 0x07,
  r2t: 0x09,
} as const);
export type PduType = (typeof PduType)[keyof typeof PduType];

export const PduFlag = Object.freeze({
  headerDigest: 0x01,
  dataDigest: 0x02,
  /** H2CData and C2HData: the last PDU of the transfer. */
  lastPdu: 0x04,
  /** C2HData: the command succeeded and no CapsuleResp follows. */
  success: 0x08,
} as const);

/** Fatal Error Status of a TermReq PDU. */
export const FatalErrorStatus = Object.freeze({
  invalidHeaderField: 0x01,
  pduSequenceError: 0x02,
  headerDigestError: 0x03,
  dataTransferOutOfRange: 0x04,
  limitExceeded: 0x05,
  unsupportedParameter: 0x06,
} as const);
export type FatalErrorStatus = (typeof FatalErrorStatus)[keyof typeof FatalErrorStatus];

export const COMMON_HEADER_LENGTH = 8;
export const DIGEST_LENGTH = 4;
export const IC_PDU_LENGTH = 128;
export const CAPSULE_CMD_HEADER_LENGTH = 72;
export const CAPSULE_RESP_LENGTH = 24;
/** H2CData, C2HData, R2T and TermReq all have a header of this length. */
export const DATA_HEADER_LENGTH = 24;
/** A TermReq carries at most this much of the offending PDU's header. */
export const TERM_REQ_DATA_MAX = 128;
/** HPDA and CPDA are 0's based counts of dwords, at most 31 (128 bytes). */
export const DATA_ALIGNMENT_MAX = 31;
/** PDO with the largest alignment. */
export const DATA_OFFSET_MAX = 128;
/** Admin and fabrics commands may carry this much in their capsule, whatever IOCCSZ says (spec section 3.3.2). */
export const ADMIN_IN_CAPSULE_MAX = 8192;
/** The least MAXH2CDATA that a controller may ask for. */
export const MAX_H2C_DATA_LEAST = 4096;

/** Offsets of fields from the start of a PDU. */
export const PduField = Object.freeze({
  type: 0,
  flags: 1,
  headerLength: 2,
  dataOffset: 3,
  pduLength: 4,
  icFormat: 8,
  icAlignment: 10,
  icDigest: 11,
  /** MAXR2T in ICReq, MAXH2CDATA in ICResp. */
  icLimit: 12,
  termStatus: 8,
  termInfo: 10,
  capsule: 8,
  commandId: 8,
  transferTag: 10,
  transferOffset: 12,
  transferLength: 16,
} as const);
