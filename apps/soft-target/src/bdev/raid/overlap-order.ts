interface Write {
  readonly startBytes: number;
  readonly endBytes: number;
  readonly ended: Promise<void>;
}

/**
 * Orders I/O on the same blocks, so that several copies are like one. Writes that overlap follow each other: in two
 * orders on two members these would differ for good. A read waits for the writes that it overlaps: else one read could
 * find the new data on one member and the next one the old data on another.
 */
export class OverlapOrder {
  private readonly writes = new Set<Write>();

  async write(startBytes: number, lengthBytes: number, io: () => Promise<void>): Promise<void> {
    const endBytes = startBytes + lengthBytes;
    const before = this.overlapping(startBytes, endBytes);
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const mine = { startBytes, endBytes, ended };
    // Before anything is awaited: whoever comes next must see it.
    this.writes.add(mine);
    try {
      if (before.length > 0) await Promise.all(before);
      await io();
    } finally {
      this.writes.delete(mine);
      end();
    }
  }

  /** A write that begins while the read runs need not wait: the read may see it or not, and no later one misses it. */
  async read<T>(startBytes: number, lengthBytes: number, io: () => Promise<T>): Promise<T> {
    const before = this.overlapping(startBytes, startBytes + lengthBytes);
    if (before.length > 0) await Promise.all(before);
    return io();
  }

  private overlapping(startBytes: number, endBytes: number): readonly Promise<void>[] {
    const found: Promise<void>[] = [];
    for (const write of this.writes)
      if (write.startBytes < endBytes && startBytes < write.endBytes) found.push(write.ended);
    return found;
  }
}
