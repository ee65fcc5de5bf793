/** Places of items in one order, kept sorted. */
export class SortedPlaces {
  private places: string[] = [];
  private isSorted = true;

  /** Adds without sorting; for many at once. */
  push(place: string): void {
    this.places.push(place);
    this.isSorted = false;
  }

  add(place: string): void {
    this.sort();
    this.places.splice(this.indexFrom(place), 0, place);
  }

  remove(place: string): void {
    this.sort();
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
