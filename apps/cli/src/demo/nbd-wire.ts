/**
 * The NBD protocol as far as a client of one export needs it: fixed newstyle negotiation and simple replies.
 * https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
 */
export const INIT_MAGIC = 0x4e42444d41474943n; // 'NBDMAGIC'
export const OPTION_MAGIC = 0x49484156454f5054n; // 'IHAVEOPT'
export const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;

/** Magic, magic, flags. */
export const GREETING_BYTES = 18;
/** Magic, option, type, length of what follows. */
export const OPTION_REPLY_BYTES = 20;
/** Magic, error, cookie; a read's data follows when the error is 0. */
export const SIMPLE_REPLY_BYTES = 16;

const FLAG_FIXED_NEWSTYLE = 1;
const FLAG_NO_ZEROES = 2;

export const Option = Object.freeze({ go: 7 } as const);
const INFO_EXPORT = 0;

export const ReplyType = Object.freeze({ ack: 1, info: 3 } as const);
/** Set in the type of every reply that is an error. */
const ERROR_BIT = 0x8000_0000;

export const Command = Object.freeze({
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  writeZeroes: 6,
} as const);
export type Command = (typeof Command)[keyof typeof Command];

export interface ExportInfo {
  readonly sizeBytes: bigint;
  readonly flags: number;
}

export class NbdProtocolError extends Error {
  override readonly name = 'NbdProtocolError';
}

/** Checks the greeting; answers the client's flags, which are its first message. */
export function answerGreeting(greeting: Buffer): Buffer {
  if (greeting.readBigUInt64BE(0) !== INIT_MAGIC || greeting.readBigUInt64BE(8) !== OPTION_MAGIC) {
    throw new NbdProtocolError('the server does not speak newstyle NBD');
  }
  const offered = greeting.readUInt16BE(16);
  if ((offered & FLAG_FIXED_NEWSTYLE) === 0) {
    throw new NbdProtocolError('the server does not speak fixed newstyle NBD');
  }
  const flags = Buffer.alloc(4);
  flags.writeUInt32BE(FLAG_FIXED_NEWSTYLE | (offered & FLAG_NO_ZEROES));
  return flags;
}

/** NBD_OPT_GO for an export, without requests for further information. */
export function encodeGo(exportName: string): Buffer {
  const name = Buffer.from(exportName);
  const message = Buffer.alloc(16 + 4 + name.length + 2);
  message.writeBigUInt64BE(OPTION_MAGIC, 0);
  message.writeUInt32BE(Option.go, 8);
  message.writeUInt32BE(message.length - 16, 12);
  message.writeUInt32BE(name.length, 16);
  name.copy(message, 20);
  return message;
}

export interface OptionReply {
  readonly type: number;
  readonly lengthBytes: number;
}

export function decodeOptionReply(header: Buffer): OptionReply {
  if (header.readBigUInt64BE(0) !== OPTION_REPLY_MAGIC) {
    throw new NbdProtocolError('an option reply has the wrong magic number');
  }
  return { type: header.readUInt32BE(12), lengthBytes: header.readUInt32BE(16) };
}

export function isErrorReply({ type }: OptionReply): boolean {
  return (type & ERROR_BIT) !== 0;
}

/** Size and flags from NBD_INFO_EXPORT; undefined for other information. */
export function decodeInfo(payload: Buffer): ExportInfo | undefined {
  if (payload.length < 12 || payload.readUInt16BE(0) !== INFO_EXPORT) return undefined;
  return { sizeBytes: payload.readBigUInt64BE(2), flags: payload.readUInt16BE(10) };
}

export function encodeRequest(
  command: Command,
  cookie: bigint,
  offsetBytes: bigint,
  lengthBytes: number,
): Buffer {
  const header = Buffer.alloc(28);
  header.writeUInt32BE(REQUEST_MAGIC, 0);
  header.writeUInt16BE(0, 4);
  header.writeUInt16BE(command, 6);
  header.writeBigUInt64BE(cookie, 8);
  header.writeBigUInt64BE(offsetBytes, 16);
  header.writeUInt32BE(lengthBytes, 24);
  return header;
}

export interface SimpleReply {
  /** 0, or an errno as Linux numbers them. */
  readonly error: number;
  readonly cookie: bigint;
}

export function decodeSimpleReply(header: Buffer): SimpleReply {
  if (header.readUInt32BE(0) !== SIMPLE_REPLY_MAGIC) {
    throw new NbdProtocolError('a reply has the wrong magic number');
  }
  return { error: header.readUInt32BE(4), cookie: header.readBigUInt64BE(8) };
}
