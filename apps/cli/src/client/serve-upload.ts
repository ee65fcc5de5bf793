import { type FileHandle, open } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { ImageUpload, UploadPieceRequest } from '@lariat/contracts';
import { LariatError } from '@lariat/kernel';
import type { Msg, NatsConnection } from '@nats-io/nats-core';

export interface ServedUpload {
  readonly upload: Required<ImageUpload>;
  close(): Promise<void>;
}

/** Answers for the bytes of a file, for as long as the service asks: it decides how fast they go, and from where on. */
export async function serveUpload(connection: NatsConnection, path: string): Promise<ServedUpload> {
  const [{ HEADERS, uploadSubject }, { headers }, { randomBytes }] = await Promise.all([
    import('@lariat/contracts'),
    import('@nats-io/nats-core'),
    import('node:crypto'),
  ]);
  const file = await openFile(path);
  const before = await file.stat();
  const token = randomBytes(16).toString('hex');
  const answer = async (message: Msg): Promise<void> => {
    try {
      message.respond(await readPiece(file, before, message.json<UploadPieceRequest>()));
    } catch (error) {
      const head = headers();
      head.set(HEADERS.error, error instanceof Error ? error.message : String(error));
      message.respond(undefined, { headers: head });
    }
  };
  const subscription = connection.subscribe(uploadSubject(token), {
    callback: (error, message) => {
      if (error === null) void answer(message);
    },
  });
  return {
    upload: { token, fileName: basename(path), sizeBytes: before.size },
    close: async () => {
      subscription.unsubscribe();
      await file.close();
    },
  };
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    const file = await open(path, 'r');
    if ((await file.stat()).size > 0) return file;
    await file.close();
  } catch (cause) {
    throw new LariatError({
      ...{ kind: 'invalid', code: 'FILE_UNREADABLE', cause },
      message: `'${resolve(path)}' cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
    });
  }
  throw new LariatError({
    ...{ kind: 'invalid', code: 'FILE_UNREADABLE' },
    message: `'${resolve(path)}' is empty, or not a file with a size.`,
  });
}

async function readPiece(
  file: FileHandle,
  before: { readonly size: number; readonly mtimeMs: number },
  { offsetBytes, lengthBytes }: UploadPieceRequest,
): Promise<Uint8Array> {
  const piece = Buffer.alloc(lengthBytes);
  const { bytesRead } = await file.read(piece, 0, lengthBytes, offsetBytes);
  const { size, mtimeMs } = await file.stat();
  if (size !== before.size || mtimeMs !== before.mtimeMs)
    throw new Error('the file changed while it was uploaded');
  return piece.subarray(0, bytesRead);
}
