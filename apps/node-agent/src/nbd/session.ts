import type { ByteParser } from './byte-driver.js';
import {
  exportNameReply,
  greeting,
  infoReplies,
  listReply,
  optionReply,
  type ExportInfo,
} from './encode.js';
import {
  HandshakeFlag,
  MAX_PAYLOAD_BYTES,
  NbdCommand,
  NbdOption,
  NbdProtocolError,
  OPTION_MAGIC,
  OptionReply,
  REQUEST_MAGIC,
} from './protocol.js';

export interface NbdRequest {
  readonly flags: number;
  readonly type: number;
  readonly cookie: bigint;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** The data of a write; empty otherwise. */
  readonly payload: Buffer;
}

export interface SessionEvents {
  send(bytes: Buffer): void;
  request(request: NbdRequest): void;
}

const CLIENT_FLAGS_BYTES = 4;
const OPTION_HEAD_BYTES = 16;
const REQUEST_HEAD_BYTES = 28;
/** Names have at most 4096 bytes (proto.md); what is longer is no option that we know. */
const MAX_OPTION_BYTES = 16 * 1024;
const NOTHING = Buffer.alloc(0);

/** One connection's bytes, from the greeting to the disconnect: fixed newstyle, simple replies. */
export function* nbdSession(info: ExportInfo, events: SessionEvents): ByteParser {
  events.send(greeting());
  const clientFlags = (yield CLIENT_FLAGS_BYTES).readUInt32BE(0);
  const known = HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes;
  if ((clientFlags & ~known) !== 0) {
    throw new NbdProtocolError(`unknown client flags 0x${clientFlags.toString(16)}`);
  }
  const noZeroes = (clientFlags & HandshakeFlag.noZeroes) !== 0;
  if (yield* negotiate(info, noZeroes, events)) yield* transmit(events);
}

/** True when the client wants to go on to the transmission phase. */
function* negotiate(
  info: ExportInfo,
  noZeroes: boolean,
  events: SessionEvents,
): Generator<number, boolean, Buffer> {
  for (;;) {
    const head = yield OPTION_HEAD_BYTES;
    if (head.readBigUInt64BE(0) !== OPTION_MAGIC) {
      throw new NbdProtocolError('an option does not begin with its magic number');
    }
    const option = head.readUInt32BE(8);
    const lengthBytes = head.readUInt32BE(12);
    if (lengthBytes > MAX_OPTION_BYTES) {
      // Read past it, so that the next option is found; in pieces, so that nobody makes us hold it all.
      yield* skip(lengthBytes);
      if (option === NbdOption.exportName)
        throw new NbdProtocolError('the export name is too long');
      events.send(optionReply(option, OptionReply.errTooBig));
      continue;
    }
    const data = yield lengthBytes;
    switch (option) {
      case NbdOption.exportName:
        // This option has no way to say no but to hang up.
        if (!isOurs(data.toString('utf8'), info)) throw new NbdProtocolError('unknown export name');
        events.send(exportNameReply(info, noZeroes));
        return true;
      case NbdOption.abort:
        events.send(optionReply(option, OptionReply.ack));
        return false;
      case NbdOption.list:
        if (lengthBytes > 0) {
          events.send(optionReply(option, OptionReply.errInvalid));
          break;
        }
        events.send(listReply(option, info.name));
        events.send(optionReply(option, OptionReply.ack));
        break;
      case NbdOption.info:
      case NbdOption.go: {
        const name = requestedName(data);
        if (name === undefined || !isOurs(name, info)) {
          const refusal = name === undefined ? OptionReply.errInvalid : OptionReply.errUnknown;
          events.send(optionReply(option, refusal));
          break;
        }
        events.send(infoReplies(option, info));
        events.send(optionReply(option, OptionReply.ack));
        if (option === NbdOption.go) return true;
        break;
      }
      default:
        events.send(optionReply(option, OptionReply.errUnsupported));
    }
  }
}

function* transmit(events: SessionEvents): ByteParser {
  for (;;) {
    const head = yield REQUEST_HEAD_BYTES;
    if (head.readUInt32BE(0) !== REQUEST_MAGIC) {
      throw new NbdProtocolError('a request does not begin with its magic number');
    }
    const type = head.readUInt16BE(6);
    const lengthBytes = head.readUInt32BE(24);
    if (type === NbdCommand.disconnect) return;
    let payload: Buffer = NOTHING;
    if (type === NbdCommand.write) {
      if (lengthBytes > MAX_PAYLOAD_BYTES) {
        throw new NbdProtocolError(`a write of ${lengthBytes} bytes is over the announced maximum`);
      }
      payload = yield lengthBytes;
    }
    events.request({
      flags: head.readUInt16BE(4),
      type,
      cookie: head.readBigUInt64BE(8),
      // Offsets past 2^53 lie outside any device; they stay outside when rounded.
      offsetBytes: Number(head.readBigUInt64BE(16)),
      lengthBytes,
      payload,
    });
  }
}

function* skip(lengthBytes: number): ByteParser {
  for (let left = lengthBytes; left > 0; left -= MAX_OPTION_BYTES) {
    yield Math.min(left, MAX_OPTION_BYTES);
  }
}

/** The empty name is the default export; a server of one export has no other. */
function isOurs(name: string, info: ExportInfo): boolean {
  return name === '' || name === info.name;
}

/** The name in NBD_OPT_INFO and NBD_OPT_GO; undefined when the lengths do not add up. */
function requestedName(data: Buffer): string | undefined {
  if (data.length < 6) return undefined;
  const nameBytes = data.readUInt32BE(0);
  if (data.length < 6 + nameBytes) return undefined;
  const requests = data.readUInt16BE(4 + nameBytes);
  if (data.length !== 6 + nameBytes + 2 * requests) return undefined;
  return data.toString('utf8', 4, 4 + nameBytes);
}
