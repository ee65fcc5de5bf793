import { randomBytes } from 'node:crypto';
import { type FileVersion, type UploadOver, lariatError, nodeFileSubject } from '@lariat/contracts';
import { isRetryable, toLariatError } from '@lariat/kernel';
import type { NatsConnection } from '@nats-io/nats-core';
import { unlessCancelled } from '../../domain/cancelled.js';
import { tooLarge } from '../../domain/qcow2-header.js';
import type { ByteReader, ImageSource } from '../../ports/byte-reader.port.js';
import type { Import } from '../../ports/importer.port.js';
import { PieceReader, SILENT_FOR_MS } from './piece-reader.js';

export interface NodeFile {
  readonly node: string;
  readonly path: string;
}

/** A file of a node, whose agent answers for it; asked again, it does so after a restart too. */
export class NodeFileSource implements ImageSource {
  readonly description: string;

  constructor(
    private readonly connection: Pick<NatsConnection, 'request' | 'info' | 'publish'>,
    private readonly file: NodeFile,
    private readonly serveFile: Import['serveFile'],
    private readonly maxBytes: number,
  ) {
    this.description = `${file.path} of node '${file.node}'`;
  }

  async open(signal: AbortSignal): Promise<ByteReader> {
    const { connection, maxBytes, description: name } = this;
    const token = randomBytes(16).toString('hex');
    const opened = await unlessCancelled(signal, this.begin(token));
    const { sizeBytes } = opened;
    if (sizeBytes > maxBytes) {
      this.end(token);
      throw tooLarge(sizeBytes, maxBytes);
    }
    const file = {
      ...{ subject: this.subjectOf(token), name, sizeBytes },
      revive: (timeoutMs: number) => this.serve(token, opened, timeoutMs),
      lost: (reason: unknown) => this.unanswered(reason),
      onClose: () => this.end(token),
    };
    return new PieceReader(connection, file, signal);
  }

  private async begin(token: string): Promise<FileVersion> {
    try {
      return await this.serve(token, null, SILENT_FOR_MS);
    } catch (reason) {
      throw isRetryable(toLariatError(reason).kind) ? this.unanswered(reason) : reason;
    }
  }

  private serve(
    token: string,
    expected: FileVersion | null,
    timeoutMs: number,
  ): Promise<FileVersion> {
    const { node, path } = this.file;
    return this.serveFile(node, { path, token, expected }, timeoutMs);
  }

  private unanswered(reason: unknown): Error {
    const { node, path } = this.file;
    return lariatError(
      'IMAGE_SOURCE_UNAVAILABLE',
      `node '${node}' has not answered for ${path} for ${SILENT_FOR_MS / 1000} s; see 'lariat node get ${node}', and try again`,
      { node, path },
      reason,
    );
  }

  private subjectOf(token: string): string {
    return nodeFileSubject(this.file.node, token);
  }

  private end(token: string): void {
    const over: UploadOver = { isOver: true };
    try {
      this.connection.publish(this.subjectOf(token), JSON.stringify(over));
    } catch {
      // The connection is closed: the agent stops by itself when nobody asks.
    }
  }
}
