export interface RateLimits {
  /** The least that a source must give while it is waited for. */
  readonly minBytesPerSecond: number;
  /** Over how long that is looked at. */
  readonly windowMs: number;
}

/**
 * Tells a source that trickles. Only time spent waiting for it counts: an import that is itself held up (by a full
 * disk queue, say) is not the server's fault.
 */
export class RateGuard {
  private waitedMs = 0;
  private bytes = 0;

  constructor(private readonly limits: RateLimits) {}

  /** False once a window has passed with too little in it. */
  accepts(waitedMs: number, bytes: number): boolean {
    this.waitedMs += waitedMs;
    this.bytes += bytes;
    if (this.waitedMs < this.limits.windowMs) return true;
    const isEnough = this.bytes * 1000 >= this.limits.minBytesPerSecond * this.waitedMs;
    this.waitedMs = 0;
    this.bytes = 0;
    return isEnough;
  }
}
