import type { Readable } from 'node:stream';

interface Want {
  readonly count: number;
  readonly resolve: (bytes: Buffer) => void;
  readonly reject: (error: Error) => void;
}

/** Exactly as many bytes as are asked for, however the stream cuts them. One read at a time. */
export class ByteReader {
  private chunks: Buffer[] = [];
  private available = 0;
  private want: Want | undefined;
  private failure: Error | undefined;

  constructor(stream: Readable) {
    stream.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk);
      this.available += chunk.length;
      this.serve();
    });
    stream.on('error', (error) => this.fail(error));
    stream.on('end', () => this.fail(new Error('the connection was closed')));
    stream.on('close', () => this.fail(new Error('the connection was closed')));
  }

  read(count: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.want = { count, resolve, reject };
      this.serve();
    });
  }

  private serve(): void {
    const { want } = this;
    if (want === undefined) return;
    if (this.available >= want.count) {
      this.want = undefined;
      want.resolve(this.take(want.count));
    } else if (this.failure !== undefined) {
      this.want = undefined;
      want.reject(this.failure);
    }
  }

  private take(count: number): Buffer {
    const all =
      this.chunks.length === 1 && this.chunks[0] !== undefined
        ? this.chunks[0]
        : Buffer.concat(this.chunks);
    this.available -= count;
    this.chunks = this.available === 0 ? [] : [all.subarray(count)];
    return all.subarray(0, count);
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.serve();
  }
}
