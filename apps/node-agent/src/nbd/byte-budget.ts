/** Bytes of requests under way, of all clients of a server together: those that have hung up still have theirs. */
export class ByteBudget {
  private usedBytes = 0;
  private readonly waiting = new Set<() => void>();

  constructor(private readonly limitBytes: number) {}

  /** One request may pass the limit, so that none is too large ever to begin. */
  get isSpent(): boolean {
    return this.usedBytes >= this.limitBytes;
  }

  take(bytes: number): void {
    this.usedBytes += bytes;
  }

  give(bytes: number): void {
    this.usedBytes -= bytes;
    if (this.isSpent) return;
    const woken = [...this.waiting];
    this.waiting.clear();
    for (const wake of woken) wake();
  }

  /** Calls `wake` once when the budget is no longer spent; the same function is called once however often it is given. */
  whenFree(wake: () => void): void {
    this.waiting.add(wake);
  }

  forget(wake: () => void): void {
    this.waiting.delete(wake);
  }
}
