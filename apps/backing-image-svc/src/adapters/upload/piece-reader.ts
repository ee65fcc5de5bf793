import { HEADERS, MAX_PIECE_BYTES, type UploadPieceRequest, lariatError } from '@lariat/contracts';
import { delay, isRetryable, toLariatError } from '@lariat/kernel';
import { decodeReply } from '@lariat/messaging';
import {
  ConnectionError,
  type Msg,
  type NatsConnection,
  NoRespondersError,
  RequestError,
  TimeoutError,
} from '@nats-io/nats-core';
import { cancelled, throwIfCancelled, unlessCancelled } from '../../domain/cancelled.js';
import type { ByteReader } from '../../ports/byte-reader.port.js';

/** Pieces that are asked for at a time: all that is in memory, and the flow control. */
const AHEAD = 4;
const ANSWER_TIMEOUT_MS = 5_000;
/** How long whoever has a file may be gone, and be back. */
export const SILENT_FOR_MS = 30_000;
const ASK_AGAIN_MS = 300;

/** A file that somebody answers for. */
export interface RemoteFile {
  /** On which its bytes are asked for. */
  readonly subject: string;
  /** For messages: `the upload of a.img`. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Has a file whose keeper has fallen silent answered for again; its rejection ends the reading, unless it may pass. */
  readonly revive?: (timeoutMs: number) => Promise<unknown>;
  /** What a silence of SILENT_FOR_MS ends with. */
  readonly lost: (reason: unknown) => Error;
  /** Nothing more is asked for. */
  readonly onClose?: () => void;
}

/** Asks for each piece of a file when there is room for it. */
export class PieceReader implements ByteReader {
  /** In order; the first is the next to be read. */
  private readonly pieces: Promise<Uint8Array>[] = [];
  private piece: Uint8Array = new Uint8Array(0);
  private askedBytes = 0;
  private readonly pieceBytes: number;
  private readonly closing = new AbortController();
  private reviving: Promise<void> | undefined;

  constructor(
    private readonly connection: Pick<NatsConnection, 'request' | 'info'>,
    private readonly file: RemoteFile,
    private readonly signal: AbortSignal,
  ) {
    const limit = connection.info?.max_payload ?? 2 * MAX_PIECE_BYTES;
    this.pieceBytes = Math.min(MAX_PIECE_BYTES, Math.floor(limit / 2));
  }

  get totalBytes(): number {
    return this.file.sizeBytes;
  }

  async read(into: Buffer): Promise<number> {
    throwIfCancelled(this.signal);
    if (this.piece.length === 0) {
      this.askAhead();
      const next = this.pieces.shift();
      if (next === undefined) return 0;
      this.piece = await unlessCancelled(this.signal, next);
    }
    const length = Math.min(into.length, this.piece.length);
    into.set(this.piece.subarray(0, length));
    this.piece = this.piece.subarray(length);
    return length;
  }

  close(): Promise<void> {
    if (!this.closing.signal.aborted) this.file.onClose?.();
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
    const { subject, name, lost } = this.file;
    const deadlineMs = performance.now() + SILENT_FOR_MS;
    while (!this.closing.signal.aborted && !this.signal.aborted) {
      try {
        const answer = await this.connection.request(subject, JSON.stringify(piece), {
          timeout: ANSWER_TIMEOUT_MS,
        });
        return bytesOf(answer, piece, name);
      } catch (reason) {
        if (!isSilence(reason)) throw reason;
        if (performance.now() > deadlineMs) throw lost(reason);
      }
      await this.revive(deadlineMs - performance.now());
      await delay(ASK_AGAIN_MS, this.closing.signal);
    }
    throw cancelled(this.signal);
  }

  /** Once for all pieces that are not answered. */
  private revive(timeoutMs: number): Promise<void> {
    this.reviving ??= this.tryToRevive(timeoutMs).finally(() => {
      this.reviving = undefined;
    });
    return this.reviving;
  }

  private async tryToRevive(timeoutMs: number): Promise<void> {
    try {
      await this.file.revive?.(timeoutMs);
    } catch (reason) {
      // No answer is one more silence, which has a deadline.
      if (!isSilence(reason) && !isRetryable(toLariatError(reason).kind)) throw reason;
    }
  }
}

/** Nobody listens, nobody answers in time, or the connection is away: each may pass. */
const isSilence = (reason: unknown): reason is Error =>
  reason instanceof RequestError ||
  reason instanceof NoRespondersError ||
  reason instanceof TimeoutError ||
  reason instanceof ConnectionError;

function bytesOf(answer: Msg, { lengthBytes }: UploadPieceRequest, name: string): Uint8Array {
  if ((answer.headers?.get(HEADERS.errorCode) ?? '') !== '') decodeReply(answer.data);
  if (answer.data.length === lengthBytes) return answer.data;
  throw lariatError(
    'IMAGE_SOURCE_CHANGED',
    `${name} gave ${answer.data.length} bytes where ${lengthBytes} were asked for; try again when nothing writes to it`,
  );
}
