import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';

export interface ClusterRun {
  readonly first: number;
  readonly count: number;
  readonly isData: boolean;
}

/** Which clusters of a device may hold data: one bit each, so that 64 TiB cost 8 MiB however fragmented they are. */
export class ClusterMap {
  private readonly bits: Uint8Array;
  /** Clusters that may hold data. */
  dataClusters = 0;

  constructor(readonly clusters: number) {
    this.bits = new Uint8Array(Math.ceil(clusters / 8));
  }

  static ofSize(sizeBytes: number): ClusterMap {
    return new ClusterMap(Math.ceil(sizeBytes / CLUSTER_SIZE_BYTES));
  }

  get dataBytes(): number {
    return this.dataClusters * CLUSTER_SIZE_BYTES;
  }

  isData(cluster: number): boolean {
    return ((this.bits[cluster >> 3] ?? 0) & (1 << (cluster & 7))) !== 0;
  }

  mark(cluster: number): void {
    if (cluster >= this.clusters || this.isData(cluster)) return;
    this.bits[cluster >> 3] = (this.bits[cluster >> 3] ?? 0) | (1 << (cluster & 7));
    this.dataClusters += 1;
  }

  /** Marks every cluster that the bytes touch. */
  markBytes(offsetBytes: number, lengthBytes: number): void {
    if (lengthBytes <= 0) return;
    const last = Math.floor((offsetBytes + lengthBytes - 1) / CLUSTER_SIZE_BYTES);
    for (let at = Math.floor(offsetBytes / CLUSTER_SIZE_BYTES); at <= last; at += 1) this.mark(at);
  }

  /** Runs of equal clusters, in order, as long as they can be. */
  *runs(): Generator<ClusterRun, void, undefined> {
    let first = 0;
    while (first < this.clusters) {
      const isData = this.isData(first);
      let end = first + 1;
      while (end < this.clusters && this.isData(end) === isData) end = this.skipAlike(end, isData);
      end = Math.min(end, this.clusters);
      yield { first, count: end - first, isData };
      first = end;
    }
  }

  /** A whole byte at a time where it can: 64 TiB of holes are 8 Mi steps, not 64 Mi. */
  private skipAlike(cluster: number, isData: boolean): number {
    return (cluster & 7) === 0 && this.bits[cluster >> 3] === (isData ? 0xff : 0)
      ? cluster + 8
      : cluster + 1;
  }
}
