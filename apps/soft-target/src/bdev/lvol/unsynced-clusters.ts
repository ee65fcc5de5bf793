/** A cluster of the disk that was given to a table when its bytes were not on the medium yet. */
export interface Allocation {
  readonly diskCluster: number;
  /** The table's entry before: what shows again when the bytes never got there. */
  readonly replaced: number;
}

/**
 * Clusters that metadata names and whose bytes may still be in the page cache alone. The two reach the medium in any
 * order, so that after a power cut such an entry can't be believed: it would show what the disk held before.
 */
export class UnsyncedClusters {
  private readonly allocations = new Map<number, Allocation>();

  get size(): number {
    return this.allocations.size;
  }

  add(allocation: Allocation): void {
    this.allocations.set(allocation.diskCluster, allocation);
  }

  all(): readonly Allocation[] {
    return [...this.allocations.values()];
  }

  /** False once the cluster has been synced, or freed and allocated anew. */
  has(allocation: Allocation): boolean {
    return this.allocations.get(allocation.diskCluster) === allocation;
  }

  remove(allocation: Allocation): void {
    if (this.has(allocation)) this.allocations.delete(allocation.diskCluster);
  }
}
