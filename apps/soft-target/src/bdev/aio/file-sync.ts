/**
 * Syncs of one open file, one at a time, and none after one that failed. The kernel tells a write-back that failed to a
 * single sync of an open file, and takes the pages for clean from then on (fsync(2); errseq_t in its
 * Documentation/core-api): the next sync, or one beside it, would succeed without the bytes. What has failed once
 * is good again only when the file is opened anew and what it holds is known.
 */
export class FileSync {
  private underWay: Promise<void> = Promise.resolve();
  private next: Promise<void> | undefined;
  private failure: { readonly error: unknown } | undefined;

  constructor(private readonly sync: () => Promise<void>) {}

  /** Resolves when what was written before the call is on the medium. Those that wait share one sync. */
  run(): Promise<void> {
    this.next ??= this.afterThatUnderWay();
    return this.next;
  }

  private async afterThatUnderWay(): Promise<void> {
    // One that failed shows in `failure`.
    await this.underWay.catch(() => undefined);
    this.underWay = this.once();
    this.next = undefined;
    return this.underWay;
  }

  private async once(): Promise<void> {
    if (this.failure !== undefined) throw this.failure.error;
    try {
      await this.sync();
    } catch (error) {
      this.failure = { error };
      throw error;
    }
  }
}
