import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** NBD's numbers (proto.md), apart from the code that is tested. */
const OPTION_MAGIC = 0x4948_4156_454f_5054n;
const REQUEST_MAGIC = 0x2560_9513;
const SIMPLE_REPLY_MAGIC = 0x6744_6698;
const ACK = 1;
const FIXED_NEWSTYLE_NO_ZEROES = 3;

export const NbdOption = { exportName: 1, abort: 2, list: 3, startTls: 5, info: 6, go: 7 } as const;
export const NbdCommand = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  writeZeroes: 6,
} as const;

export function clientFlags(): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(FIXED_NEWSTYLE_NO_ZEROES);
  return bytes;
}

export function option(number: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(16);
  head.writeBigUInt64BE(OPTION_MAGIC);
  head.writeUInt32BE(number, 8);
  head.writeUInt32BE(data.length, 12);
  return Buffer.concat([head, data]);
}

/** The data of NBD_OPT_GO and NBD_OPT_INFO: a name, and which informations are wanted. */
export function exportRequest(name: string, ...informations: readonly number[]): Buffer {
  const text = Buffer.from(name);
  const data = Buffer.alloc(6 + text.length + 2 * informations.length);
  data.writeUInt32BE(text.length);
  text.copy(data, 4);
  data.writeUInt16BE(informations.length, 4 + text.length);
  informations.forEach((each, index) => data.writeUInt16BE(each, 6 + text.length + 2 * index));
  return data;
}

export interface NbdRequest {
  readonly command: number;
  readonly offset?: number;
  readonly length?: number;
  readonly flags?: number;
  readonly data?: Buffer;
}

export function request({ command, offset = 0, length, flags = 0, data }: NbdRequest): Buffer {
  const head = Buffer.alloc(28);
  head.writeUInt32BE(REQUEST_MAGIC);
  head.writeUInt16BE(flags, 4);
  head.writeUInt16BE(command, 6);
  head.writeBigUInt64BE(BigInt(command + 1), 8);
  head.writeBigUInt64BE(BigInt(offset), 16);
  head.writeUInt32BE(length ?? data?.length ?? 0, 24);
  return data === undefined ? head : Buffer.concat([head, data]);
}

/** What a well-behaved client reads at `offset`; rejects when the server does not give it. */
export async function readByNbd(
  socketPath: string,
  name: string,
  offset: number,
  length: number,
): Promise<Buffer> {
  const socket = connect({ path: socketPath });
  try {
    const bytes = byteReader(socket);
    await bytes(18);
    socket.write(clientFlags());
    socket.write(option(NbdOption.go, exportRequest(name)));
    for (let type = 0; type !== ACK;) {
      const head = await bytes(20);
      type = head.readUInt32BE(12);
      if (type >= 0x8000_0000) throw new Error(`the NBD server refused with ${type}`);
      await bytes(head.readUInt32BE(16));
    }
    socket.write(request({ command: NbdCommand.read, offset, length }));
    const reply = await bytes(16);
    if (reply.readUInt32BE(0) !== SIMPLE_REPLY_MAGIC || reply.readUInt32BE(4) !== 0) {
      throw new Error(`the NBD server answered a read with ${reply.toString('hex')}`);
    }
    return await bytes(length);
  } finally {
    socket.destroy();
  }
}

function byteReader(socket: Socket): (length: number) => Promise<Buffer> {
  socket.pause();
  return async (length) => {
    if (length === 0) return Buffer.alloc(0);
    for (;;) {
      const bytes = socket.read(length) as Buffer | null;
      if (bytes !== null && bytes.length === length) return bytes;
      if (socket.readableEnded || socket.destroyed) throw new Error('the NBD server hung up');
      await once(socket, 'readable');
    }
  };
}
