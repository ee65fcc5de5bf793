import type { RecordEntry } from '@lariat/messaging';

/** More are kept by nobody: who lacks more of them begins anew. */
const MAX_RECENT = 16_384;

export interface HeardEntry<T> extends RecordEntry<T> {
  readonly heardAtMs: number;
}

/** The last messages of a bucket's stream, in order and without gaps. */
export class RecentEntries<T> {
  private entries: HeardEntry<T>[] = [];

  /** `floor`: everything up to it is not here, and everything after it is. */
  constructor(
    private lowest: number,
    private readonly max = MAX_RECENT,
  ) {}

  get floor(): number {
    return this.lowest;
  }

  add(entry: HeardEntry<T>): void {
    this.entries.push(entry);
    // In halves, so that the rest is not moved for each.
    if (this.entries.length <= this.max) return;
    const dropped = this.entries.splice(0, Math.ceil(this.max / 2));
    this.lowest = dropped.at(-1)?.revision ?? this.lowest;
  }

  /** The first ones after a number, at most so many. */
  after(revision: number, most: number): readonly HeardEntry<T>[] {
    const { entries } = this;
    let low = 0;
    let high = entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((entries[middle]?.revision ?? 0) <= revision) low = middle + 1;
      else high = middle;
    }
    return entries.slice(low, low + most);
  }
}
