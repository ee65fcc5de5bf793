import type { Readable } from 'node:stream';
import type { ByteReader } from '../../ports/byte-reader.port.js';

/** A stream as a ByteReader; `failure` turns what the stream ends with into what the caller is told. */
export class StreamReader implements ByteReader {
  readonly totalBytes = null;
  private readonly chunks: AsyncIterator<unknown>;
  private chunk: Buffer = Buffer.alloc(0);

  constructor(
    private readonly stream: Readable,
    private readonly failure: (reason: unknown) => Error,
  ) {
    // Told by read() as well; without a listener it would end the process when nobody reads just then.
    stream.on('error', () => undefined);
    this.chunks = stream[Symbol.asyncIterator]();
  }

  async read(into: Buffer): Promise<number> {
    while (this.chunk.length === 0) {
      const next = await this.chunks.next().catch((reason: unknown) => {
        throw this.failure(reason);
      });
      if (next.done === true) return 0;
      this.chunk = next.value as Buffer;
    }
    const length = this.chunk.copy(into);
    this.chunk = this.chunk.subarray(length);
    return length;
  }

  close(): Promise<void> {
    this.stream.destroy();
    return Promise.resolve();
  }
}
