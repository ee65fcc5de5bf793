import { type CommandMap, type FileVersion, lariatError, nodeFileSubject } from '@lariat/contracts';
import { KeyedQueue } from '@lariat/kernel';
import {
  ImageFolders,
  type OpenedFile,
  type ServedPieces,
  changedSource,
  isSameVersion,
  servePieces,
} from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';
import type { FileServingPort } from '../../ports/file-serving.port.js';
import type { LogPort } from '../../ports/log.port.js';

/** More than an import waits between two pieces, but for one whose disk has stopped: that one asks for the file again. */
const IDLE_MS = 60_000;
/** It is a part of a subject. */
const TOKEN = /^[a-z0-9]{16,64}$/;

/** Files of this node that imports read, each under the token of one import. */
export class ServedFiles implements FileServingPort {
  private readonly folders: ImageFolders;
  private readonly served = new Map<string, ServedPieces>();
  private readonly queue = new KeyedQueue();
  private connection: NatsConnection | undefined;
  private isClosed = false;

  constructor(
    private readonly node: string,
    folders: readonly string[],
    private readonly log: LogPort,
    private readonly idleMs = IDLE_MS,
  ) {
    this.folders = new ImageFolders(folders, `the agent of node '${node}'`);
  }

  use(connection: NatsConnection): void {
    this.connection = connection;
  }

  serve(input: CommandMap['image.serve-file']['input']): Promise<FileVersion> {
    if (!TOKEN.test(input.token))
      throw lariatError('REQUEST_INVALID', 'The token must be 16 to 64 of a-z and 0-9.');
    return this.queue.run(input.token, () => this.begin(input));
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.queue.idle();
    await Promise.all([...this.served.keys()].map((token) => this.end(token)));
  }

  private async begin({
    path,
    token,
    expected,
  }: CommandMap['image.serve-file']['input']): Promise<FileVersion> {
    await this.end(token);
    const { connection } = this;
    if (connection === undefined || this.isClosed)
      throw lariatError('NATS_UNAVAILABLE', 'the agent has no connection to NATS to serve it on');
    const file = await this.folders.open(path);
    await this.assertExpected(file, expected);
    const onOver = (): void => {
      this.end(token).catch((error: unknown) =>
        this.log.warn('file of an image not closed', { path, error }),
      );
    };
    const end = { idleMs: this.idleMs, onOver };
    this.served.set(token, servePieces(connection, nodeFileSubject(this.node, token), file, end));
    return file.version;
  }

  private async assertExpected(file: OpenedFile, expected: FileVersion | null): Promise<void> {
    if (expected === null || isSameVersion(file.version, expected)) return;
    await file.close();
    throw changedSource(file.path);
  }

  private async end(token: string): Promise<void> {
    const served = this.served.get(token);
    this.served.delete(token);
    await served?.close();
  }
}
