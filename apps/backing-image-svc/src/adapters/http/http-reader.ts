import { crc32 } from 'node:zlib';
import { lariatError } from '@lariat/contracts';
import { backoffMs, delay, LariatError } from '@lariat/kernel';
import type { Dispatcher } from 'undici';
import { cancelled, throwIfCancelled } from '../../domain/cancelled.js';
import {
  BreakReason,
  type Failures,
  type FileIdentity,
  NO_FAILURES,
  onBreak,
} from '../../domain/download.js';
import { tooLarge } from '../../domain/qcow2-header.js';
import type { ByteReader } from '../../ports/byte-reader.port.js';
import { refusalOfConnection } from './connection-errors.js';
import { requestFile } from './http-request.js';
import type { HttpSettings } from './http-settings.js';
import { BrokenBody, TimedBody } from './timed-body.js';

const NOTHING = Buffer.alloc(0);

/** A file behind a url, from its first byte to its last, over as many connections as that takes. */
export class HttpReader implements ByteReader {
  private body: TimedBody | null = null;
  private piece: Buffer = NOTHING;
  private identity: FileIdentity | null = null;
  private deliveredBytes = 0;
  /** Of what was delivered: to know it again when a server can only send everything again. */
  private deliveredCrc = 0;
  private failures: Failures = NO_FAILURES;
  private isComplete = false;

  constructor(
    private readonly url: URL,
    private readonly settings: HttpSettings,
    private readonly dispatcher: Dispatcher,
    private readonly signal: AbortSignal,
  ) {}

  get totalBytes(): number | null {
    return this.identity?.totalBytes ?? null;
  }

  /** Waits for the first answer, so that size and refusals are known. */
  async start(): Promise<void> {
    while (this.body === null && !this.isComplete) await this.attempt(() => this.connect());
  }

  async read(into: Buffer): Promise<number> {
    while (this.piece.length === 0 && !this.isComplete) {
      await this.attempt(async () => {
        if (this.body === null) await this.connect();
        if (this.body !== null) await this.receive(this.body);
      });
    }
    const length = this.piece.copy(into);
    this.deliveredCrc = crc32(this.piece.subarray(0, length), this.deliveredCrc);
    this.piece = this.piece.subarray(length);
    this.deliveredBytes += length;
    return length;
  }

  async close(): Promise<void> {
    this.isComplete = true;
    this.body?.close();
    // Not waited for: it waits for connections that are still being made.
    this.dispatcher.destroy().catch(() => undefined);
  }

  private async connect(): Promise<void> {
    const { url, dispatcher, settings, signal, identity, deliveredBytes } = this;
    const position = { identity, deliveredBytes };
    const { step, body } = await requestFile({ url, position, dispatcher, settings, signal });
    switch (step.kind) {
      case 'fail':
        throw step.error;
      case 'retry':
        if (step.afterMs !== null) await delay(step.afterMs, signal);
        throw new BrokenBody(BreakReason.network, step.reason);
      case 'complete':
        this.isComplete = true;
        return;
      case 'deliver': {
        this.identity = step.identity;
        this.body = new TimedBody(body, settings);
        this.checkSize(step.identity.totalBytes ?? 0);
        await this.skip(this.body, step.skipBytes);
      }
    }
  }

  /** Reads over what was had already, and makes sure that it is still the same. */
  private async skip(body: TimedBody, skipBytes: number): Promise<void> {
    let crc = 0;
    for (let left = skipBytes; left > 0;) {
      const piece = await body.next();
      if (piece === null) throw this.truncated();
      const had = piece.subarray(0, left);
      crc = crc32(had, crc);
      left -= had.length;
      this.accept(piece.subarray(had.length));
    }
    if (skipBytes > 0 && crc !== this.deliveredCrc) {
      throw lariatError(
        'IMAGE_SOURCE_CHANGED',
        'the file at that url changed while it was being fetched (its first part is another one); try again',
      );
    }
  }

  private async receive(body: TimedBody): Promise<void> {
    if (this.piece.length > 0) return;
    const piece = await body.next();
    const { totalBytes } = this;
    if (piece === null) {
      if (totalBytes !== null && this.deliveredBytes < totalBytes) throw this.truncated();
      this.isComplete = true;
      return;
    }
    this.accept(piece);
  }

  /** The next bytes to hand on. */
  private accept(piece: Buffer): void {
    const { totalBytes } = this;
    const reached = this.deliveredBytes + piece.length;
    if (totalBytes !== null && reached > totalBytes) {
      throw lariatError(
        'IMAGE_SOURCE_INCONSISTENT',
        `the server contradicts itself: it told of ${totalBytes} bytes, and sends more`,
      );
    }
    this.checkSize(reached);
    this.piece = piece;
  }

  private checkSize(sizeBytes: number): void {
    if (sizeBytes > this.settings.maxBytes) throw tooLarge(sizeBytes, this.settings.maxBytes);
  }

  private truncated(): BrokenBody {
    return new BrokenBody(BreakReason.truncated, `${this.totalBytes ?? 'more'} bytes were told`);
  }

  /** Runs it once; a failure that another try may mend is waited out, and any other one thrown. */
  private async attempt(work: () => Promise<void>): Promise<void> {
    throwIfCancelled(this.signal);
    try {
      await work();
    } catch (reason) {
      this.body?.close();
      this.body = null;
      this.piece = NOTHING;
      if (this.signal.aborted) throw cancelled(this.signal);
      await this.waitToRetry(reason);
    }
  }

  private async waitToRetry(reason: unknown): Promise<void> {
    if (reason instanceof LariatError) throw reason;
    const refusal = refusalOfConnection(reason, this.url);
    if (refusal !== null) throw refusal;
    const broken = asBroken(reason, this.totalBytes, this.deliveredBytes);
    const { settings, deliveredBytes, failures } = this;
    const at = { deliveredBytes, reason: broken.reason, detail: broken.message };
    const step = onBreak(settings.retry, failures, at);
    if (step.kind === 'fail') throw step.error;
    this.failures = step.failures;
    await delay(backoffMs(settings.backoff, step.failures.count), this.signal);
    throwIfCancelled(this.signal);
  }
}

/** A connection that ends within a body of a known length cut it short; whatever else happens is the network's. */
function asBroken(reason: unknown, totalBytes: number | null, deliveredBytes: number): BrokenBody {
  if (reason instanceof BrokenBody) return reason;
  const message = reason instanceof Error ? reason.message : String(reason);
  const code = (reason as { code?: unknown } | null)?.code;
  const isCut = code === 'UND_ERR_SOCKET' || code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH';
  const isShort = totalBytes !== null && deliveredBytes > 0 && deliveredBytes < totalBytes;
  return new BrokenBody(
    isCut && isShort ? BreakReason.truncated : BreakReason.network,
    message === '' ? String(code) : message,
    reason,
  );
}
