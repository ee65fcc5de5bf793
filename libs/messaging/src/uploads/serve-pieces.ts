import {
  MAX_PIECE_BYTES,
  type UploadOver,
  type UploadPieceRequest,
  lariatError,
} from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import type { Msg, NatsConnection } from '@nats-io/nats-core';
import { decodeJson } from '../json.js';
import { encodeError } from '../reply.js';
import { type OpenedFile, changedSource } from './opened-file.js';

/** When serving is over by itself: as soon as it is told so, or nobody has asked for `idleMs`. */
export interface PiecesEnd {
  readonly idleMs: number;
  readonly onOver: () => void;
}

/** A file whose bytes are there for whoever knows its subject. */
export interface ServedPieces {
  /** Ends that, and closes the file. */
  close(): Promise<void>;
}

/**
 * Answers for the bytes of a file: who asks decides how fast they go, and from where on. One piece is in memory at a
 * time, however many are asked for. Without `end` it goes on until it is closed.
 */
export function servePieces(
  connection: NatsConnection,
  subject: string,
  file: OpenedFile,
  end?: PiecesEnd,
): ServedPieces {
  let answering: Promise<void> = Promise.resolve();
  const idle = end === undefined ? undefined : setTimeout(() => end.onOver(), end.idleMs);
  idle?.unref();
  const subscription = connection.subscribe(subject, {
    callback: (error, message) => {
      if (error !== null) return;
      idle?.refresh();
      answering = answering.then(async () => {
        if ((await answer(file, message)) === 'over') end?.onOver();
      });
    },
  });
  return {
    close: async () => {
      clearTimeout(idle);
      subscription.unsubscribe();
      await answering;
      await file.close();
    },
  };
}

async function answer(file: OpenedFile, message: Msg): Promise<'over' | 'answered'> {
  try {
    const asked = readRequest(message.data);
    if ('isOver' in asked) return 'over';
    message.respond(await readPiece(file, asked));
  } catch (reason) {
    const { body, headers } = encodeError(toLariatError(reason), undefined);
    try {
      message.respond(body, { headers });
    } catch {
      // The connection is closed: who asked learns it by its own deadline.
    }
  }
  return 'answered';
}

function readRequest(data: Uint8Array): UploadPieceRequest | UploadOver {
  const fields = decodeJson(data) as Partial<UploadPieceRequest & UploadOver> | null;
  if (fields?.isOver === true) return { isOver: true };
  const { offsetBytes = -1, lengthBytes = 0 } = fields ?? {};
  const isPiece =
    Number.isSafeInteger(offsetBytes) && offsetBytes >= 0 && Number.isSafeInteger(lengthBytes);
  if (isPiece && lengthBytes > 0 && lengthBytes <= MAX_PIECE_BYTES)
    return { offsetBytes, lengthBytes };
  throw lariatError(
    'REQUEST_INVALID',
    `A piece has an offsetBytes from 0 and a lengthBytes from 1 to ${MAX_PIECE_BYTES}.`,
  );
}

async function readPiece(
  file: OpenedFile,
  { offsetBytes, lengthBytes }: UploadPieceRequest,
): Promise<Uint8Array> {
  // A new one each time: NATS may send it later than `respond` returns.
  const piece = Buffer.allocUnsafe(lengthBytes);
  const bytesRead = await file.read(piece, offsetBytes);
  await file.assertUnchanged();
  // Whoever asks past the end took it for another file.
  if (bytesRead < lengthBytes) throw changedSource(file.path);
  return piece;
}
