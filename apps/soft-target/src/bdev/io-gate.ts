/** Lets I/O through, or holds it back: what snapshots and changes of a raid's members stand on. */
export class IoGate {
  private inFlight = 0;
  private held: { readonly opened: Promise<void>; readonly open: () => void } | undefined;
  private drained: (() => void)[] = [];

  get isClosed(): boolean {
    return this.held !== undefined;
  }

  async run<T>(io: () => Promise<T>): Promise<T> {
    while (this.held !== undefined) await this.held.opened;
    this.inFlight += 1;
    try {
      return await io();
    } finally {
      this.inFlight -= 1;
      if (this.inFlight === 0) for (const resolve of this.drained.splice(0)) resolve();
    }
  }

  /** New I/O waits from now on; resolves when what was in flight has ended. The gate must be open. */
  close(): Promise<void> {
    if (this.held !== undefined) throw new Error('the gate is closed already');
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    this.held = { opened, open };
    return this.idle();
  }

  open(): void {
    const held = this.held;
    this.held = undefined;
    held?.open();
  }

  /** Resolves at a moment at which nothing is in flight; with the gate open that may never come. */
  idle(): Promise<void> {
    if (this.inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => this.drained.push(resolve));
  }
}
