/** KAS: the keep alive timeout is rounded up to this. */
export const KEEP_ALIVE_GRANULARITY_MS = 100;

/** Calls `expired` when the host has sent no command for its keep alive timeout. */
export class KeepAliveWatch {
  private readonly expired: () => void;
  private timer: NodeJS.Timeout | undefined;
  private lastSeenMs = 0;
  private currentMs = 0;

  constructor(timeoutMs: number, expired: () => void) {
    this.expired = expired;
    this.setTimeout(timeoutMs);
  }

  get timeoutMs(): number {
    return this.currentMs;
  }

  /** 0 turns the watch off. */
  setTimeout(timeoutMs: number): void {
    this.currentMs = Math.ceil(timeoutMs / KEEP_ALIVE_GRANULARITY_MS) * KEEP_ALIVE_GRANULARITY_MS;
    clearTimeout(this.timer);
    this.lastSeenMs = performance.now();
    if (this.currentMs > 0) this.arm(this.currentMs);
  }

  commandSeen(): void {
    this.lastSeenMs = performance.now();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private arm(delayMs: number): void {
    // A timer delay above 2^31 - 1 ms would fire at once.
    this.timer = setTimeout(() => this.check(), Math.min(delayMs, 0x7fff_ffff));
    this.timer.unref();
  }

  private check(): void {
    const remainingMs = this.currentMs - (performance.now() - this.lastSeenMs);
    if (remainingMs <= 0) this.expired();
    else this.arm(Math.ceil(remainingMs));
  }
}
