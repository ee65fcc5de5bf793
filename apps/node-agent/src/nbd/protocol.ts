/**
 * Numbers of the NBD protocol (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md). All
 * fields are big-endian.
 */
export const NBD_MAGIC = 0x4e42_444d_4147_4943n;
export const OPTION_MAGIC = 0x4948_4156_454f_5054n;
export const OPTION_REPLY_MAGIC = 0x0003_e889_0455_65a9n;
export const REQUEST_MAGIC = 0x2560_9513;
export const SIMPLE_REPLY_MAGIC = 0x6744_6698;

export const HandshakeFlag = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const NbdOption = {
  exportName: 1,
  abort: 2,
  list: 3,
  starttls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
} as const;

const ERROR_BIT = 0x8000_0000;
export const OptionReply = {
  ack: 1,
  server: 2,
  info: 3,
  errUnsupported: ERROR_BIT + 1,
  errInvalid: ERROR_BIT + 3,
  errUnknown: ERROR_BIT + 6,
  errTooBig: ERROR_BIT + 9,
} as const;

export const InfoType = { export: 0, blockSize: 3 } as const;

export const TransmissionFlag = {
  hasFlags: 1,
  sendFlush: 4,
  sendFua: 8,
  sendTrim: 32,
  sendWriteZeroes: 64,
  canMultiConn: 256,
} as const;

export const NbdCommand = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  writeZeroes: 6,
} as const;

export const CommandFlag = { fua: 1, noHole: 2 } as const;

export const NbdError = {
  none: 0,
  io: 5,
  invalid: 22,
  noSpace: 28,
  notSupported: 95,
  shutdown: 108,
} as const;
export type NbdError = (typeof NbdError)[keyof typeof NbdError];

/** What clients may rely on without asking (proto.md, "Block size constraints"). */
export const MAX_PAYLOAD_BYTES = 32 * 1024 * 1024;

/** The client broke the protocol; the connection cannot go on. */
export class NbdProtocolError extends Error {
  override readonly name = 'NbdProtocolError';
}
