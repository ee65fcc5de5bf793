import type { Socket } from 'node:net';

/** Buffers up to this size are cheaper to copy together than to hand to writev one by one. */
const MERGE_LIMIT_BYTES = 8192;
/** More than this is not held back until the end of the event loop's turn. */
const FLUSH_AT_BYTES = 1 << 20;

/** Gathers the PDUs of one turn of the event loop into few writes. Nothing is sent after `close`. */
export class SocketOutput {
  private readonly socket: Socket;
  private pending: Buffer[] = [];
  private pendingBytes = 0;
  private scheduled: NodeJS.Immediate | undefined;
  private closed = false;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  readonly write = (bytes: Buffer): void => {
    if (this.closed) return;
    this.pending.push(bytes);
    this.pendingBytes += bytes.length;
    if (this.pendingBytes >= FLUSH_AT_BYTES) this.flush();
    else this.scheduled ??= setImmediate(() => this.flush());
  };

  /** Bytes that the peer has not taken yet. */
  get heldBytes(): number {
    return this.pendingBytes + this.socket.writableLength;
  }

  flush(): void {
    if (this.scheduled !== undefined) clearImmediate(this.scheduled);
    this.scheduled = undefined;
    if (this.pending.length === 0 || this.closed) return;
    const buffers = mergeSmall(this.pending);
    this.pending = [];
    this.pendingBytes = 0;
    this.socket.cork();
    for (const buffer of buffers) this.socket.write(buffer);
    this.socket.uncork();
  }

  /** Drops what has not been given to the socket yet. */
  close(): void {
    this.closed = true;
    if (this.scheduled !== undefined) clearImmediate(this.scheduled);
    this.scheduled = undefined;
    this.pending = [];
    this.pendingBytes = 0;
  }
}

function mergeSmall(buffers: readonly Buffer[]): readonly Buffer[] {
  const merged: Buffer[] = [];
  let run: Buffer[] = [];
  const endRun = (): void => {
    const [only] = run;
    if (only !== undefined) merged.push(run.length === 1 ? only : Buffer.concat(run));
    run = [];
  };
  for (const buffer of buffers) {
    if (buffer.length <= MERGE_LIMIT_BYTES) {
      run.push(buffer);
    } else {
      endRun();
      merged.push(buffer);
    }
  }
  endRun();
  return merged;
}
