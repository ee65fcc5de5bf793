import {
  HEADERS,
  type ImageUpload,
  type UploadPieceRequest,
  lariatError,
  uploadSubject,
} from '@lariat/contracts';
import { KIB, delay } from '@lariat/kernel';
import {
  ConnectionError,
  type Msg,
  type NatsConnection,
  NoRespondersError,
  RequestError,
  TimeoutError,
} from '@nats-io/nats-core';
import { cancelled, throwIfCancelled } from '../../domain/cancelled.js';
import { tooLarge } from '../../domain/qcow2-header.js';
import type { ByteReader, ImageSource } from '../../ports/byte-reader.port.js';

/** Below what NATS takes in one message (1 MiB unless it is set otherwise). */
const PIECE_BYTES = 512 * KIB;
/** Pieces that are asked for at a time: all that is in memory, and the flow control. */
const AHEAD = 4;
const ANSWER_TIMEOUT_MS = 5_000;
/** How long an uploader may be gone, and be back. */
const SILENT_FOR_MS = 30_000;
const ASK_AGAIN_MS = 300;

/** A file of whoever asked for the import: each piece of it is asked for when there is room for it. */
export class UploadSource implements ImageSource {
  readonly description: string;

  constructor(
    private readonly connection: Pick<NatsConnection, 'request' | 'info'>,
    private readonly upload: ImageUpload,
    private readonly maxBytes: number,
  ) {
    this.description = `upload of ${upload.fileName}`;
  }

  open(signal: AbortSignal): Promise<ByteReader> {
    const { connection, upload, maxBytes } = this;
    if (upload.sizeBytes > maxBytes) return Promise.reject(tooLarge(upload.sizeBytes, maxBytes));
    return Promise.resolve(new UploadReader(connection, upload, signal));
  }
}

class UploadReader implements ByteReader {
  /** In order; the first is the next to be read. */
  private readonly pieces: Promise<Uint8Array>[] = [];
  private piece: Uint8Array = new Uint8Array(0);
  private askedBytes = 0;
  private readBytes = 0;
  private readonly pieceBytes: number;
  private readonly closing = new AbortController();

  constructor(
    private readonly connection: Pick<NatsConnection, 'request' | 'info'>,
    private readonly upload: ImageUpload,
    private readonly signal: AbortSignal,
  ) {
    const limit = connection.info?.max_payload ?? 2 * PIECE_BYTES;
    this.pieceBytes = Math.min(PIECE_BYTES, Math.floor(limit / 2));
  }

  get totalBytes(): number {
    return this.upload.sizeBytes;
  }

  async read(into: Buffer): Promise<number> {
    throwIfCancelled(this.signal);
    if (this.piece.length === 0) {
      this.askAhead();
      const next = this.pieces.shift();
      if (next === undefined) return 0;
      this.piece = await this.unlessCancelled(next);
    }
    const length = Math.min(into.length, this.piece.length);
    into.set(this.piece.subarray(0, length));
    this.piece = this.piece.subarray(length);
    this.readBytes += length;
    return length;
  }

  close(): Promise<void> {
    this.closing.abort();
    this.pieces.length = 0;
    return Promise.resolve();
  }

  private askAhead(): void {
    while (this.pieces.length < AHEAD && this.askedBytes < this.totalBytes) {
      const lengthBytes = Math.min(this.pieceBytes, this.totalBytes - this.askedBytes);
      const asked = this.ask({ offsetBytes: this.askedBytes, lengthBytes });
      // Told to whoever reads it; nobody may.
      asked.catch(() => undefined);
      this.pieces.push(asked);
      this.askedBytes += lengthBytes;
    }
  }

  private async ask(piece: UploadPieceRequest): Promise<Uint8Array> {
    const { token = '', fileName } = this.upload;
    const deadlineMs = performance.now() + SILENT_FOR_MS;
    while (!this.closing.signal.aborted && !this.signal.aborted) {
      try {
        const answer = await this.connection.request(uploadSubject(token), JSON.stringify(piece), {
          timeout: ANSWER_TIMEOUT_MS,
        });
        return checked(answer, piece, fileName);
      } catch (reason) {
        if (!isSilence(reason)) throw reason;
        if (performance.now() > deadlineMs) throw gone(fileName, reason);
      }
      await delay(ASK_AGAIN_MS, this.closing.signal);
    }
    throw cancelled(this.signal);
  }

  private async unlessCancelled<T>(work: Promise<T>): Promise<T> {
    const ended = new AbortController();
    const end = new Promise<never>((_, reject) => {
      this.signal.addEventListener('abort', () => reject(cancelled(this.signal)), {
        signal: ended.signal,
      });
    });
    try {
      return await Promise.race([work, end]);
    } finally {
      ended.abort();
    }
  }
}

/** Nobody listens, nobody answers in time, or the connection is away: each may pass. */
const isSilence = (reason: unknown): reason is Error =>
  reason instanceof RequestError ||
  reason instanceof NoRespondersError ||
  reason instanceof TimeoutError ||
  reason instanceof ConnectionError;

function checked(answer: Msg, { lengthBytes }: UploadPieceRequest, fileName: string): Uint8Array {
  const error = answer.headers?.get(HEADERS.error) ?? '';
  if (error === '' && answer.data.length === lengthBytes) return answer.data;
  throw lariatError(
    'IMAGE_SOURCE_CHANGED',
    error === ''
      ? `the upload of ${fileName} gave ${answer.data.length} bytes where ${lengthBytes} were asked for; try again when nothing writes to it`
      : `the upload of ${fileName} cannot go on: ${error}`,
  );
}

function gone(fileName: string, reason: Error): Error {
  return lariatError(
    'IMAGE_SOURCE_UNAVAILABLE',
    `whoever uploads ${fileName} has not answered for ${SILENT_FOR_MS / 1000} s; begin the upload again, and let it run to its end`,
    {},
    reason,
  );
}
