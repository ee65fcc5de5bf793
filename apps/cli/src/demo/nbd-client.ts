import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { LariatError } from '@lariat/kernel';
import { ByteReader } from './byte-reader.js';
import {
  answerGreeting,
  Command,
  decodeInfo,
  decodeOptionReply,
  decodeSimpleReply,
  encodeGo,
  encodeRequest,
  type ExportInfo,
  GREETING_BYTES,
  isErrorReply,
  NbdProtocolError,
  OPTION_REPLY_BYTES,
  ReplyType,
  SIMPLE_REPLY_BYTES,
} from './nbd-wire.js';

interface Pending {
  readonly readBytes: number;
  readonly resolve: (data: Buffer) => void;
  readonly reject: (error: Error) => void;
}

/** Every server takes requests of this size (the protocol's default maximum is 32 MiB). */
const CHUNK_BYTES = 1024 * 1024;
const REQUESTS_IN_FLIGHT = 8;

/** `nbd+unix:///export?socket=/path`, as libnbd and qemu write it. */
export function parseNbdUri(uri: string): { readonly socket: string; readonly exportName: string } {
  const url = new URL(uri);
  // Not URLSearchParams: that reads '+' as a space, and a path may hold one.
  const socket = /[?&]socket=([^&]+)/.exec(url.search)?.[1];
  if (url.protocol !== 'nbd+unix:' || socket === undefined) {
    throw new LariatError({
      kind: 'invalid',
      code: 'ENDPOINT_INVALID',
      message: `'${uri}' is not an NBD URI of the form nbd+unix:///?socket=PATH.`,
    });
  }
  return {
    socket: decodeURIComponent(socket),
    exportName: decodeURIComponent(url.pathname.replace(/^\//, '')),
  };
}

/** One connection to one export; requests are pipelined. */
export class NbdClient {
  private readonly pending = new Map<bigint, Pending>();
  private nextCookie = 1n;
  private failure: LariatError | undefined;

  private constructor(
    private readonly stream: Duplex,
    private readonly reader: ByteReader,
    private readonly info: ExportInfo,
  ) {
    void this.receive();
  }

  static async connect(uri: string): Promise<NbdClient> {
    const { socket, exportName } = parseNbdUri(uri);
    const stream = await new Promise<Socket>((resolve, reject) => {
      const opening = connect(socket);
      opening.once('connect', () => {
        opening.removeListener('error', reject);
        resolve(opening);
      });
      opening.once('error', reject);
    });
    return NbdClient.negotiate(stream, exportName);
  }

  /** Over a stream that is connected already. */
  static async negotiate(stream: Duplex, exportName: string): Promise<NbdClient> {
    const reader = new ByteReader(stream);
    stream.write(answerGreeting(await reader.read(GREETING_BYTES)));
    stream.write(encodeGo(exportName));
    let info: ExportInfo | undefined;
    for (;;) {
      const reply = decodeOptionReply(await reader.read(OPTION_REPLY_BYTES));
      const payload =
        reply.lengthBytes === 0 ? Buffer.alloc(0) : await reader.read(reply.lengthBytes);
      if (isErrorReply(reply)) {
        throw new NbdProtocolError(
          `the server refuses export '${exportName}': ${payload.toString() || `error ${reply.type & 0xffff}`}`,
        );
      }
      if (reply.type === ReplyType.info) info = decodeInfo(payload) ?? info;
      if (reply.type === ReplyType.ack) break;
    }
    if (info === undefined) throw new NbdProtocolError('the server did not tell the size');
    return new NbdClient(stream, reader, info);
  }

  get sizeBytes(): number {
    return Number(this.info.sizeBytes);
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    return this.request(Command.read, offsetBytes, lengthBytes);
  }

  async write(offsetBytes: number, data: Buffer): Promise<void> {
    await this.request(Command.write, offsetBytes, data.length, data);
  }

  async flush(): Promise<void> {
    await this.request(Command.flush, 0, 0);
  }

  /** Any length, in chunks, several at a time. */
  async writeAll(offsetBytes: number, data: Buffer): Promise<void> {
    await eachChunk(data.length, async (start, end) => {
      await this.write(offsetBytes + start, data.subarray(start, end));
    });
  }

  /** Hands the content over in order, a chunk at a time, reading ahead. */
  async *readAll(offsetBytes: number, lengthBytes: number): AsyncGenerator<Buffer> {
    const ahead: Promise<Buffer>[] = [];
    let asked = 0;
    const ask = (): void => {
      const count = Math.min(CHUNK_BYTES, lengthBytes - asked);
      const chunk = this.read(offsetBytes + asked, count);
      // Awaited below, in order; until then its failure must not count as unhandled.
      chunk.catch(() => undefined);
      ahead.push(chunk);
      asked += count;
    };
    while (asked < lengthBytes && ahead.length < REQUESTS_IN_FLIGHT) ask();
    for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) {
      const chunk = await next;
      if (asked < lengthBytes) ask();
      yield chunk;
    }
  }

  /** Tells the server, and closes. */
  async close(): Promise<void> {
    if (this.failure === undefined && !this.stream.destroyed) {
      const closed = new Promise<void>((resolve) => {
        this.stream.once('close', () => resolve());
      });
      this.failure = closedError('it was closed by this side');
      this.stream.end(encodeRequest(Command.disconnect, 0n, 0n, 0));
      await closed;
    }
    this.stream.destroy();
  }

  private request(
    command: Command,
    offsetBytes: number,
    lengthBytes: number,
    data?: Buffer,
  ): Promise<Buffer> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const cookie = this.nextCookie;
    this.nextCookie += 1n;
    return new Promise((resolve, reject) => {
      const readBytes = command === Command.read ? lengthBytes : 0;
      this.pending.set(cookie, { readBytes, resolve, reject });
      this.stream.write(encodeRequest(command, cookie, BigInt(offsetBytes), lengthBytes));
      if (data !== undefined) this.stream.write(data);
    });
  }

  private async receive(): Promise<void> {
    try {
      for (;;) {
        const { error, cookie } = decodeSimpleReply(await this.reader.read(SIMPLE_REPLY_BYTES));
        const pending = this.pending.get(cookie);
        if (pending === undefined) throw new NbdProtocolError(`reply to unknown request ${cookie}`);
        const data =
          error === 0 && pending.readBytes > 0
            ? await this.reader.read(pending.readBytes)
            : Buffer.alloc(0);
        this.pending.delete(cookie);
        if (error === 0) pending.resolve(data);
        else pending.reject(requestError(error));
      }
    } catch (cause) {
      this.failure ??= closedError(cause instanceof Error ? cause.message : String(cause), cause);
      for (const pending of this.pending.values()) pending.reject(this.failure);
      this.pending.clear();
      this.stream.destroy();
    }
  }
}

async function eachChunk(
  lengthBytes: number,
  work: (start: number, end: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < lengthBytes) {
      const start = next;
      next = Math.min(lengthBytes, start + CHUNK_BYTES);
      await work(start, next);
    }
  };
  await Promise.all(Array.from({ length: REQUESTS_IN_FLIGHT }, worker));
}

function closedError(why: string, cause?: unknown): LariatError {
  return new LariatError({
    kind: 'unavailable',
    code: 'NBD_CLOSED',
    message: `The NBD connection is gone (${why}); see whether the volume is still attached.`,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The protocol's error numbers (section 'Error values'). */
const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM',
  5: 'EIO',
  12: 'ENOMEM',
  22: 'EINVAL',
  28: 'ENOSPC',
  75: 'EOVERFLOW',
  95: 'ENOTSUP',
  108: 'ESHUTDOWN',
};

function requestError(error: number): LariatError {
  const name = ERRNO_NAMES[error] ?? `error ${error}`;
  return new LariatError({
    kind: 'internal',
    code: 'NBD_IO_ERROR',
    message: `The volume answered a request with ${name}.`,
    details: { errno: error },
  });
}
