/** Nothing of its own here: what is beneath shows, or zeros. */
export const UNALLOCATED = 0;
/** Reads as zeros whatever is beneath, and takes no space. */
export const ZEROED = 0xffff_ffff;

/** Clusters whose entries are kept, and written to the metadata, as one. */
export const EXTENT_CLUSTERS = 256;

export function isOwned(entry: number): boolean {
  return entry !== UNALLOCATED && entry !== ZEROED;
}

/** Which cluster of the disk holds each cluster of one blob. Sparse: what was never written costs nothing. */
export class ClusterTable {
  private readonly extents: (Uint32Array | undefined)[] = [];
  private owned = 0;

  constructor(readonly blobId: number) {}

  /** Clusters of the disk that the blob holds. */
  get ownedCount(): number {
    return this.owned;
  }

  get(cluster: number): number {
    return this.extents[Math.floor(cluster / EXTENT_CLUSTERS)]?.[cluster % EXTENT_CLUSTERS] ?? 0;
  }

  set(cluster: number, entry: number): void {
    const index = Math.floor(cluster / EXTENT_CLUSTERS);
    let extent = this.extents[index];
    if (extent === undefined) {
      extent = new Uint32Array(EXTENT_CLUSTERS);
      this.extents[index] = extent;
    }
    const before = extent[cluster % EXTENT_CLUSTERS] ?? 0;
    extent[cluster % EXTENT_CLUSTERS] = entry;
    this.owned += Number(isOwned(entry)) - Number(isOwned(before));
  }

  /** Entries that are not UNALLOCATED, by rising cluster. */
  *entries(): Generator<readonly [cluster: number, entry: number]> {
    for (const [index, extent] of this.extents.entries()) {
      if (extent === undefined) continue;
      for (const [at, entry] of extent.entries()) {
        if (entry !== UNALLOCATED) yield [index * EXTENT_CLUSTERS + at, entry];
      }
    }
  }

  extentIndexes(): readonly number[] {
    return [...this.extents.keys()].filter((index) => this.extents[index] !== undefined);
  }

  copyOfExtent(index: number): Uint32Array {
    return new Uint32Array(this.extents[index] ?? new Uint32Array(EXTENT_CLUSTERS));
  }
}
