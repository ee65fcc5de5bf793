import { basename, resolve } from 'node:path';
import { uploadSubject } from '@lariat/bus';
import type { ImageUpload } from '@lariat/contracts';
import { LariatError } from '@lariat/kernel';
import type { NatsConnection } from '@nats-io/nats-core';

export interface ServedUpload {
  readonly upload: Required<ImageUpload>;
  close(): Promise<void>;
}

/** Answers for the bytes of a file, for as long as the service asks: it decides how fast they go, and from where on. */
export async function serveUpload(connection: NatsConnection, path: string): Promise<ServedUpload> {
  const [{ OpenedFile, servePieces }, { randomBytes }] = await Promise.all([
    import('@lariat/messaging'),
    import('node:crypto'),
  ]);
  const file = await OpenedFile.open(path).catch((cause: unknown) => {
    throw unreadable(`'${resolve(path)}' cannot be read: ${(cause as Error).message}`, cause);
  });
  const { sizeBytes } = file.version;
  if (sizeBytes === 0) {
    await file.close();
    throw unreadable(`'${resolve(path)}' is empty.`);
  }
  const token = randomBytes(16).toString('hex');
  const served = servePieces(connection, uploadSubject(token), file);
  return {
    upload: { token, fileName: basename(path), sizeBytes },
    close: () => served.close(),
  };
}

const unreadable = (message: string, cause?: unknown): LariatError =>
  new LariatError({ kind: 'invalid', code: 'FILE_UNREADABLE', message, cause });
