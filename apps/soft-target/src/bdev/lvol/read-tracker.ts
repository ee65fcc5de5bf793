interface Generation {
  running: number;
  closed: boolean;
  readonly ended: Promise<void>;
  readonly end: () => void;
}

/** Tells when all reads of a disk that had begun by some moment have ended. */
export class ReadTracker {
  private current = newGeneration();
  private before: Promise<void> = Promise.resolve();

  async run<T>(read: () => Promise<T>): Promise<T> {
    const generation = this.current;
    generation.running += 1;
    try {
      return await read();
    } finally {
      generation.running -= 1;
      if (generation.closed && generation.running === 0) generation.end();
    }
  }

  /** Resolves when every read begun before this call has ended; later ones don't delay it. */
  drained(): Promise<void> {
    const generation = this.current;
    this.current = newGeneration();
    generation.closed = true;
    if (generation.running === 0) generation.end();
    const before = this.before;
    this.before = before.then(() => generation.ended);
    return this.before;
  }
}

function newGeneration(): Generation {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => (end = resolve));
  return { running: 0, closed: false, ended, end };
}
