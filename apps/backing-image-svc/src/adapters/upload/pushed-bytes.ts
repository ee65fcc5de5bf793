import { lariatError } from '@lariat/contracts';
import { cancelled, throwIfCancelled } from '../../domain/cancelled.js';
import { tooLarge } from '../../domain/qcow2-header.js';
import type { ByteReader, ImageSource } from '../../ports/byte-reader.port.js';

export interface PushSettings {
  /** Null: told by `end` alone. */
  readonly totalBytes: number | null;
  readonly maxBytes: number;
  /** As much waits to be read; who pushes more is kept waiting. */
  readonly maxWaitingBytes: number;
  /** How long a reader waits for the next chunk. */
  readonly idleTimeoutMs: number;
}

/**
 * Bytes that somebody brings in chunks with their offsets, in order. A chunk may come again, as its answer can be lost:
 * what is had already is passed over. Who has lost count asks for `receivedBytes` and goes on there.
 */
export class PushedBytes implements ImageSource, ByteReader {
  readonly description = 'upload';
  receivedBytes = 0;
  private readonly chunks: Buffer[] = [];
  private waitingBytes = 0;
  private isEnded = false;
  private failure: Error | null = null;
  private readonly changed = new Set<() => void>();

  constructor(private readonly settings: PushSettings) {}

  get totalBytes(): number | null {
    return this.settings.totalBytes;
  }

  /** Resolves when there is room for the next one, with the offset that it should have. */
  async push(offsetBytes: number, chunk: Buffer): Promise<number> {
    if (this.failure !== null) throw this.failure;
    if (offsetBytes > this.receivedBytes) {
      throw lariatError(
        'REQUEST_INVALID',
        `a chunk at ${offsetBytes} came, and the one at ${this.receivedBytes} has not; go on there`,
        { receivedBytes: this.receivedBytes },
      );
    }
    const fresh = chunk.subarray(this.receivedBytes - offsetBytes);
    if (fresh.length > 0) this.accept(fresh);
    while (this.waitingBytes > this.settings.maxWaitingBytes && this.failure === null)
      await this.change();
    if (this.failure !== null) throw this.failure;
    return this.receivedBytes;
  }

  /** All has been pushed. */
  end(totalBytes: number): void {
    if (totalBytes !== this.receivedBytes) {
      throw lariatError(
        'REQUEST_INVALID',
        `the upload was to have ${totalBytes} bytes, and ${this.receivedBytes} have come; go on there`,
        { receivedBytes: this.receivedBytes },
      );
    }
    this.isEnded = true;
    this.tell();
  }

  open(signal: AbortSignal): Promise<ByteReader> {
    throwIfCancelled(signal);
    signal.addEventListener('abort', () => this.fail(cancelled(signal)), { once: true });
    return Promise.resolve(this);
  }

  async read(into: Buffer): Promise<number> {
    for (;;) {
      if (this.failure !== null) throw this.failure;
      const [chunk] = this.chunks;
      if (chunk !== undefined) return this.take(chunk, into);
      if (this.isEnded || this.receivedBytes === this.totalBytes) return 0;
      await this.changeInTime();
    }
  }

  close(): Promise<void> {
    this.fail(lariatError('OPERATION_CANCELLED', 'the import that this upload was for has ended'));
    return Promise.resolve();
  }

  private accept(fresh: Buffer): void {
    const { totalBytes, maxBytes } = this.settings;
    const received = this.receivedBytes + fresh.length;
    if (this.isEnded || received > (totalBytes ?? received)) {
      throw lariatError('REQUEST_INVALID', 'more was uploaded than was told', { totalBytes });
    }
    if (received > maxBytes) throw tooLarge(received, maxBytes);
    this.chunks.push(fresh);
    this.waitingBytes += fresh.length;
    this.receivedBytes = received;
    this.tell();
  }

  private take(chunk: Buffer, into: Buffer): number {
    const length = chunk.copy(into);
    if (length === chunk.length) this.chunks.shift();
    else this.chunks[0] = chunk.subarray(length);
    this.waitingBytes -= length;
    this.tell();
    return length;
  }

  private fail(reason: Error): void {
    this.failure ??= reason;
    this.chunks.length = 0;
    this.tell();
  }

  private tell(): void {
    for (const wake of this.changed) wake();
    this.changed.clear();
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.changed.add(resolve));
  }

  private async changeInTime(): Promise<void> {
    const { idleTimeoutMs } = this.settings;
    const timer = setTimeout(() => {
      this.fail(
        lariatError(
          'IMAGE_SOURCE_TOO_SLOW',
          `the upload stopped at ${this.receivedBytes} bytes: nothing came for ${idleTimeoutMs} ms`,
        ),
      );
    }, idleTimeoutMs);
    await this.change();
    clearTimeout(timer);
  }
}
