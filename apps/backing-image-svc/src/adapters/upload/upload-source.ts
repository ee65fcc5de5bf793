import { type ImageUpload, lariatError, uploadSubject } from '@lariat/contracts';
import type { NatsConnection } from '@nats-io/nats-core';
import { tooLarge } from '../../domain/qcow2-header.js';
import type { ByteReader, ImageSource } from '../../ports/byte-reader.port.js';
import { PieceReader, SILENT_FOR_MS } from './piece-reader.js';

/** A file of whoever asked for the import, who answers for it as long as their command runs. */
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
    const { token = '', fileName, sizeBytes } = upload;
    if (sizeBytes > maxBytes) return Promise.reject(tooLarge(sizeBytes, maxBytes));
    const name = `the upload of ${fileName}`;
    const lost = (reason: unknown): Error => abandoned(fileName, reason);
    const file = { subject: uploadSubject(token), name, sizeBytes, lost };
    return Promise.resolve(new PieceReader(connection, file, signal));
  }
}

const abandoned = (fileName: string, reason: unknown): Error =>
  lariatError(
    'IMAGE_SOURCE_UNAVAILABLE',
    `whoever uploads ${fileName} has not answered for ${SILENT_FOR_MS / 1000} s; begin the upload again, and let it run to its end`,
    {},
    reason,
  );
