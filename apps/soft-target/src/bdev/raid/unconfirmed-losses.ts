import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: BlockIoError) => void;
}

/**
 * Members that a raid has lost and that the owner of the volume's record does not know to be lost yet. A write that
 * missed one of them must not be acknowledged before (design invariant 4): else, after a crash of this target, the
 * lost one could be taken for fresh. Without `hold` nothing is kept back, as in stock SPDK.
 */
export class UnconfirmedLosses {
  private readonly names = new Set<string>();
  private readonly waiters = new Set<Waiter>();
  private holdMs: number | undefined;
  private abandoned: BlockIoError | undefined;

  /** From now on writes wait for the confirmation of losses, and fail when it has not come after `holdMs`. */
  hold(holdMs: number): void {
    this.holdMs = holdMs;
  }

  get unconfirmed(): readonly string[] {
    return [...this.names];
  }

  add(name: string): void {
    if (this.holdMs !== undefined) this.names.add(name);
  }

  /** The losses are on record. A name that is not lost is left alone, so that a confirmation may be sent again. */
  confirm(names: readonly string[]): void {
    for (const name of names) this.names.delete(name);
    if (this.names.size > 0) return;
    for (const { resolve } of this.waiters) resolve();
    this.waiters.clear();
  }

  /** The raid ends: what is held, or would be from now on, will never be acknowledged. */
  abandon(): void {
    this.abandoned = new BlockIoError(BlockIoFailure.gone, 'the raid was removed');
    for (const { reject } of this.waiters) reject(this.abandoned);
    this.waiters.clear();
  }

  /** Resolves when every loss is confirmed; rejects when the time is over. */
  async settled(): Promise<void> {
    const { holdMs } = this;
    if (this.names.size === 0 || holdMs === undefined) return;
    if (this.abandoned !== undefined) throw this.abandoned;
    let timer: NodeJS.Timeout | undefined;
    let waiter: Waiter | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        waiter = { resolve, reject };
        this.waiters.add(waiter);
        timer = setTimeout(() => {
          const lost = this.unconfirmed.join(', ');
          const message = `the loss of ${lost} was not put on record within ${holdMs} ms`;
          reject(new BlockIoError(BlockIoFailure.aborted, message));
        }, holdMs);
      });
    } finally {
      clearTimeout(timer);
      if (waiter !== undefined) this.waiters.delete(waiter);
    }
  }
}
