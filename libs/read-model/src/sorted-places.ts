interface Placed<Item> {
  readonly place: string;
  readonly item: Item;
}

/** Items by their places in one order, kept sorted. */
export class SortedPlaces<Item> {
  private readonly placed: Placed<Item>[] = [];
  private isSorted = true;

  /** Adds without sorting; for many at once. */
  push(place: string, item: Item): void {
    this.placed.push({ place, item });
    this.isSorted = false;
  }

  add(place: string, item: Item): void {
    this.sort();
    this.placed.splice(this.indexFrom(place), 0, { place, item });
  }

  /** Puts another item in a place that one has. */
  exchange(place: string, item: Item): void {
    this.sort();
    this.placed[this.indexFrom(place)] = { place, item };
  }

  remove(place: string): void {
    this.sort();
    const at = this.indexFrom(place);
    if (this.placed[at]?.place === place) this.placed.splice(at, 1);
  }

  /** Those after a place, or from the beginning, in the direction that is asked for. */
  *walk(after: string | null, descending: boolean): IterableIterator<Placed<Item>> {
    this.sort();
    const { placed } = this;
    const begin = after === null ? 0 : this.indexFrom(after);
    const end = after === null ? placed.length : begin;
    if (descending) {
      let at = end - 1;
      for (let one = placed[at]; one !== undefined; one = placed[(at -= 1)]) yield one;
      return;
    }
    let at = begin;
    for (let one = placed[at]; one !== undefined; one = placed[(at += 1)])
      if (one.place !== after) yield one;
  }

  private sort(): void {
    if (this.isSorted) return;
    // By code units, as everywhere here: they are ASCII.
    this.placed.sort((one, other) => (one.place < other.place ? -1 : 1));
    this.isSorted = true;
  }

  /** Index of the first that is not before it. */
  private indexFrom(place: string): number {
    let low = 0;
    let high = this.placed.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.placed[middle]?.place ?? '') < place) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
