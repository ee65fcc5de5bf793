/** Items by their places in one order, kept sorted. */
export class SortedPlaces<Item> {
  private places: string[] = [];
  private readonly items = new Map<string, Item>();
  private isSorted = true;

  /** Adds without sorting; for many at once. */
  push(place: string, item: Item): void {
    this.items.set(place, item);
    this.places.push(place);
    this.isSorted = false;
  }

  add(place: string, item: Item): void {
    this.sort();
    this.items.set(place, item);
    this.places.splice(this.indexFrom(place), 0, place);
  }

  /** Puts another item in a place that one has. */
  exchange(place: string, item: Item): void {
    this.items.set(place, item);
  }

  /** By the very text that `walk` gives this costs next to nothing. */
  at(place: string): Item | undefined {
    return this.items.get(place);
  }

  remove(place: string): void {
    this.sort();
    this.items.delete(place);
    const at = this.indexFrom(place);
    if (this.places[at] === place) this.places.splice(at, 1);
  }

  /** Those after a place, or from the beginning, in the direction that is asked for. */
  *walk(after: string | null, descending: boolean): IterableIterator<string> {
    this.sort();
    const { places } = this;
    if (descending) {
      const end = after === null ? places.length : this.indexFrom(after);
      for (let at = end - 1; at >= 0; at -= 1) yield places[at] ?? '';
      return;
    }
    const begin = after === null ? 0 : this.indexFrom(after);
    for (let at = begin; at < places.length; at += 1) {
      const place = places[at] ?? '';
      if (place !== after) yield place;
    }
  }

  private sort(): void {
    if (this.isSorted) return;
    // By code units, as everywhere here: they are ASCII.
    this.places.sort();
    this.isSorted = true;
  }

  /** Index of the first that is not before it. */
  private indexFrom(place: string): number {
    let low = 0;
    let high = this.places.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.places[middle] ?? '') < place) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
