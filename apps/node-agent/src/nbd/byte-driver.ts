/** A parser as a coroutine: it yields how many bytes it wants next, and gets exactly those. */
export type ByteParser = Generator<number, void, Buffer>;

/** Feeds a parser from chunks of any size, and holds back while `isFull` says that there is work enough. */
export class ByteDriver {
  private readonly chunks: Buffer[] = [];
  private availableBytes = 0;
  private wantedBytes: number;
  private ended: boolean;

  constructor(
    private readonly parser: ByteParser,
    private readonly isFull: () => boolean,
  ) {
    const first = parser.next();
    this.ended = first.done === true;
    this.wantedBytes = first.done === true ? 0 : first.value;
  }

  /** True once the parser has returned: what follows is not for it. */
  get isEnded(): boolean {
    return this.ended;
  }

  /** Bytes that are kept until the parser wants them. */
  get pendingBytes(): number {
    return this.availableBytes;
  }

  push(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.availableBytes += chunk.length;
    this.advance();
  }

  /** Parses as far as the bytes reach; call it again when `isFull` no longer holds. */
  advance(): void {
    while (!this.ended && this.availableBytes >= this.wantedBytes && !this.isFull()) {
      const step = this.parser.next(this.take(this.wantedBytes));
      if (step.done === true) this.ended = true;
      else this.wantedBytes = step.value;
    }
  }

  private take(lengthBytes: number): Buffer {
    this.availableBytes -= lengthBytes;
    const taken: Buffer[] = [];
    let left = lengthBytes;
    while (left > 0) {
      const chunk = this.chunks[0];
      if (chunk === undefined) throw new RangeError('more bytes taken than there are');
      if (chunk.length <= left) {
        taken.push(chunk);
        this.chunks.shift();
        left -= chunk.length;
      } else {
        taken.push(chunk.subarray(0, left));
        this.chunks[0] = chunk.subarray(left);
        left = 0;
      }
    }
    const [only] = taken;
    return taken.length === 1 && only !== undefined ? only : Buffer.concat(taken);
  }
}
