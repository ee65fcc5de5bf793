interface Held {
  readonly startBytes: number;
  readonly endBytes: number;
  readonly released: Promise<void>;
}

/** Nobody waits for the task any more; it was not begun. */
export class Unwanted extends Error {
  override readonly name = 'Unwanted';
}

/** Runs tasks on overlapping ranges one after the other, in order of arrival; others side by side. */
export class RangeLock {
  private readonly held = new Set<Held>();

  /** Throws Unwanted when `isWanted` says so as the task's turn comes. */
  async run<T>(
    startBytes: number,
    endBytes: number,
    task: () => Promise<T>,
    isWanted: () => boolean = () => true,
  ): Promise<T> {
    const before = [...this.held]
      .filter((other) => other.startBytes < endBytes && startBytes < other.endBytes)
      .map((other) => other.released);
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const mine = { startBytes, endBytes, released };
    this.held.add(mine);
    try {
      await Promise.all(before);
      if (!isWanted()) throw new Unwanted();
      return await task();
    } finally {
      this.held.delete(mine);
      release();
    }
  }
}
