import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';

/** Cluster 0 holds the superblock. */
const FIRST_DATA_CLUSTER = 1;

/**
 * The free clusters of a disk. A cluster given up by committed metadata is counted as free at once, but is
 * reused only when nothing can see it as its old owner's any more: neither a read under way nor, after a
 * power cut, metadata from before the commit.
 */
export class ClusterAllocator {
  private used: Uint32Array;
  private clusters: number;
  private freeNow: number;
  private quarantined = 0;
  private reserved = 0;
  private nextWord = 0;
  private waiting: (() => void)[] = [];

  /** `totalClusters` counts the superblock's. */
  constructor(totalClusters: number) {
    this.clusters = totalClusters;
    this.used = new Uint32Array(Math.ceil(totalClusters / 32));
    this.freeNow = Math.max(0, totalClusters - FIRST_DATA_CLUSTER);
    this.blockTail();
    for (let cluster = 0; cluster < Math.min(FIRST_DATA_CLUSTER, totalClusters); cluster += 1) {
      this.mark(cluster);
    }
  }

  get dataClusters(): number {
    return this.clusters - FIRST_DATA_CLUSTER;
  }

  /** Clusters that no one holds or has reserved. */
  get freeCount(): number {
    return this.freeNow + this.quarantined - this.reserved;
  }

  /** For loading: false when it is held already or lies outside the disk. */
  occupy(cluster: number): boolean {
    if (cluster < FIRST_DATA_CLUSTER || cluster >= this.clusters || this.isUsed(cluster)) {
      return false;
    }
    this.mark(cluster);
    this.freeNow -= 1;
    return true;
  }

  /** Sets space aside for a thick lvol; false when there is not as much. */
  reserve(count: number): boolean {
    if (count > this.freeCount) return false;
    this.reserved += count;
    return true;
  }

  unreserve(count: number): void {
    this.reserved -= count;
  }

  /** A cluster of unknown content. `reserved` takes it out of the caller's reservation. */
  async allocate(reserved: boolean): Promise<number> {
    while ((reserved ? this.freeNow + this.quarantined : this.freeCount) > 0) {
      if (this.freeNow > 0) {
        if (reserved) this.reserved -= 1;
        return this.takeNext();
      }
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    throw new BlockIoError(BlockIoFailure.noSpace, 'the lvol store has no free cluster left');
  }

  /** Returns a cluster that no metadata has ever named since it was allocated. */
  giveBack(cluster: number, reserved: boolean): void {
    if (reserved) this.reserved += 1;
    this.makeFree(cluster);
  }

  /** Clusters that committed metadata no longer names; reused once `unseen` resolves. */
  release(clusters: readonly number[], unseen: Promise<unknown>): void {
    if (clusters.length === 0) return;
    this.quarantined += clusters.length;
    const free = (): void => {
      this.quarantined -= clusters.length;
      for (const cluster of clusters) this.makeFree(cluster);
    };
    // When the flush fails, whether the commit is on disk is unknown: the clusters stay unused until a restart.
    void unseen.then(free, () => undefined);
  }

  grow(totalClusters: number): void {
    const used = new Uint32Array(Math.ceil(totalClusters / 32));
    const before = this.clusters;
    used.set(this.used);
    this.used = used;
    this.clusters = totalClusters;
    for (let cluster = before; cluster < totalClusters; cluster += 1) this.unmark(cluster);
    this.blockTail();
    this.freeNow += totalClusters - before;
    this.wake();
  }

  private takeNext(): number {
    for (let tried = 0; tried <= this.used.length; tried += 1) {
      const word = this.used[this.nextWord] ?? 0;
      const free = ~word >>> 0;
      if (free !== 0) {
        const cluster = this.nextWord * 32 + (31 - Math.clz32(free & -free));
        this.mark(cluster);
        this.freeNow -= 1;
        return cluster;
      }
      this.nextWord = (this.nextWord + 1) % this.used.length;
    }
    throw new Error('the count of free clusters does not match the bitmap');
  }

  private makeFree(cluster: number): void {
    this.unmark(cluster);
    this.freeNow += 1;
    this.wake();
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  /** Bits past the last cluster must never look free. */
  private blockTail(): void {
    for (let bit = this.clusters; bit < this.used.length * 32; bit += 1) this.mark(bit);
  }

  private isUsed(cluster: number): boolean {
    return ((this.used[cluster >>> 5] ?? 0) & (1 << (cluster & 31))) !== 0;
  }

  private mark(cluster: number): void {
    this.used[cluster >>> 5] = (this.used[cluster >>> 5] ?? 0) | (1 << (cluster & 31));
  }

  private unmark(cluster: number): void {
    this.used[cluster >>> 5] = (this.used[cluster >>> 5] ?? 0) & ~(1 << (cluster & 31));
  }
}
