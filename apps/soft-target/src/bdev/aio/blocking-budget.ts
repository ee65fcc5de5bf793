/** A call that took longer than this did not come from the page cache. */
const SLOW_MS = 1;
/** So long the thread pool is used then, so that a slow disk can't hold up everything else for more than a tick. */
const PAUSE_MS = 50;
/** Above this, copying alone takes a while, and the way through the thread pool costs little beside it. */
const MAX_BYTES = 256 * 1024;

/**
 * Says whether the next I/O may be done at once, blocking the event loop. One that the page cache answers takes some
 * 2 µs so, and 25 µs or more through the thread pool (docs/performance.md); one that waits for a disk must go there.
 */
export class BlockingBudget {
  private pausedUntilMs = 0;

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  /** Runs `blocking`, unless the disk was slow a moment ago or it is a long one: then `pooled`. */
  run<T>(lengthBytes: number, blocking: () => T, pooled: () => Promise<T>): T | Promise<T> {
    const startedMs = this.nowMs();
    if (lengthBytes > MAX_BYTES || startedMs < this.pausedUntilMs) return pooled();
    try {
      return blocking();
    } finally {
      const endedMs = this.nowMs();
      if (endedMs - startedMs > SLOW_MS) this.pausedUntilMs = endedMs + PAUSE_MS;
    }
  }
}
