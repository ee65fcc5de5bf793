import { BreakReason } from '../../domain/download.js';
import { RateGuard } from '../../domain/rate-guard.js';
import type { HttpSettings } from './http-settings.js';

/** A body that stopped before its end. */
export class BrokenBody extends Error {
  override readonly name = 'BrokenBody';

  constructor(
    readonly reason: BreakReason,
    message: string,
    cause?: unknown,
  ) {
    super(message, { cause });
  }
}

interface Body {
  [Symbol.asyncIterator](): AsyncIterator<unknown>;
  destroy(): unknown;
  on(event: 'error', listener: () => void): unknown;
}

/** The pieces of a body; throws BrokenBody when they stop coming, or come too slowly. */
export class TimedBody {
  private readonly pieces: AsyncIterator<unknown>;
  private readonly guard: RateGuard;

  constructor(
    private readonly body: Body,
    private readonly settings: Pick<HttpSettings, 'idleTimeoutMs' | 'rate'>,
  ) {
    // Told by next() as well; without a listener it would end the process when nobody reads just then.
    body.on('error', () => undefined);
    this.pieces = body[Symbol.asyncIterator]();
    this.guard = new RateGuard(settings.rate);
  }

  /** The next piece; null at the end. */
  async next(): Promise<Buffer | null> {
    const from = performance.now();
    const piece = await this.nextInTime();
    if (piece === null) return null;
    if (!this.guard.accepts(performance.now() - from, piece.length)) {
      throw new BrokenBody(
        BreakReason.tooSlow,
        `less than ${this.settings.rate.minBytesPerSecond} bytes a second`,
      );
    }
    return piece;
  }

  close(): void {
    this.body.destroy();
  }

  private async nextInTime(): Promise<Buffer | null> {
    const { idleTimeoutMs } = this.settings;
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new BrokenBody(BreakReason.tooSlow, `nothing came for ${idleTimeoutMs} ms`));
      }, idleTimeoutMs);
    });
    try {
      const { done, value } = await Promise.race([this.pieces.next(), silence]);
      return done === true ? null : (value as Buffer);
    } catch (reason) {
      this.body.destroy();
      throw reason;
    } finally {
      clearTimeout(timer);
    }
  }
}
