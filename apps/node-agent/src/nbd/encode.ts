import {
  HandshakeFlag,
  InfoType,
  MAX_PAYLOAD_BYTES,
  NBD_MAGIC,
  OPTION_MAGIC,
  OPTION_REPLY_MAGIC,
  OptionReply,
  SIMPLE_REPLY_MAGIC,
} from './protocol.js';

export interface ExportInfo {
  readonly name: string;
  readonly sizeBytes: number;
  readonly transmissionFlags: number;
  readonly minBlockBytes: number;
}

const PREFERRED_BLOCK_BYTES = 64 * 1024;
const EXPORT_NAME_PADDING_BYTES = 124;

export function greeting(): Buffer {
  const bytes = Buffer.alloc(18);
  bytes.writeBigUInt64BE(NBD_MAGIC, 0);
  bytes.writeBigUInt64BE(OPTION_MAGIC, 8);
  bytes.writeUInt16BE(HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes, 16);
  return bytes;
}

export function optionReply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(20);
  head.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(type, 12);
  head.writeUInt32BE(data.length, 16);
  return Buffer.concat([head, data]);
}

/** The answer to NBD_OPT_EXPORT_NAME, which has no header. */
export function exportNameReply(info: ExportInfo, noZeroes: boolean): Buffer {
  const bytes = Buffer.alloc(10 + (noZeroes ? 0 : EXPORT_NAME_PADDING_BYTES));
  bytes.writeBigUInt64BE(BigInt(info.sizeBytes), 0);
  bytes.writeUInt16BE(info.transmissionFlags, 8);
  return bytes;
}

/** The informations of NBD_OPT_INFO and NBD_OPT_GO, without the final acknowledgement. */
export function infoReplies(option: number, info: ExportInfo): Buffer {
  const size = Buffer.alloc(12);
  size.writeUInt16BE(InfoType.export, 0);
  size.writeBigUInt64BE(BigInt(info.sizeBytes), 2);
  size.writeUInt16BE(info.transmissionFlags, 10);
  const blocks = Buffer.alloc(14);
  blocks.writeUInt16BE(InfoType.blockSize, 0);
  blocks.writeUInt32BE(info.minBlockBytes, 2);
  blocks.writeUInt32BE(Math.max(PREFERRED_BLOCK_BYTES, info.minBlockBytes), 6);
  blocks.writeUInt32BE(MAX_PAYLOAD_BYTES, 10);
  return Buffer.concat([
    optionReply(option, OptionReply.info, size),
    optionReply(option, OptionReply.info, blocks),
  ]);
}

export function listReply(option: number, name: string): Buffer {
  const text = Buffer.from(name, 'utf8');
  const data = Buffer.alloc(4 + text.length);
  data.writeUInt32BE(text.length, 0);
  text.copy(data, 4);
  return optionReply(option, OptionReply.server, data);
}

/** The cookie is the client's, given back as it came. */
export function simpleReply(cookie: bigint, error: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0);
  bytes.writeUInt32BE(error, 4);
  bytes.writeBigUInt64BE(cookie, 8);
  return bytes;
}
