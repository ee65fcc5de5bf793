/** What lvols must read as, in the plainest way: each has its own clusters over those of its parent. */
export class LayerModel {
  readonly own = new Map<number, Buffer | 'zeros'>();
  parent: LayerModel | undefined;
  isReadOnly = false;
  isSnapshot = false;
  isThin = true;
  readonly clones = new Set<LayerModel>();

  constructor(
    readonly name: string,
    readonly clusterSizeBytes: number,
    public sizeClusters: number,
  ) {}

  /** Undefined where there is nothing but the zeros of what was never written. */
  source(cluster: number): Buffer | undefined {
    if (cluster >= this.sizeClusters) return undefined;
    const own = this.own.get(cluster);
    if (own === 'zeros') return undefined;
    return own ?? this.parent?.source(cluster);
  }

  content(): Buffer {
    const zeros = Buffer.alloc(this.clusterSizeBytes);
    const clusters = Array.from({ length: this.sizeClusters }, (_, c) => this.source(c) ?? zeros);
    return Buffer.concat(clusters);
  }

  write(offsetBytes: number, data: Buffer): void {
    this.eachCluster(offsetBytes, data.length, (cluster, inner, at, length) => {
      data.copy(this.ownCopy(cluster), inner, at, at + length);
    });
  }

  zero(offsetBytes: number, lengthBytes: number): void {
    this.eachCluster(offsetBytes, lengthBytes, (cluster, inner, _at, length) => {
      const own = this.own.get(cluster);
      if (length === this.clusterSizeBytes && this.isThin) {
        if (this.parent === undefined && own instanceof Buffer) this.own.delete(cluster);
        else if (this.source(cluster) !== undefined) this.own.set(cluster, 'zeros');
      } else if (this.source(cluster) !== undefined) {
        this.ownCopy(cluster).fill(0, inner, inner + length);
      }
    });
  }

  /** The clusters go to the snapshot. */
  snapshot(name: string): LayerModel {
    const snapshot = new LayerModel(name, this.clusterSizeBytes, this.sizeClusters);
    for (let c = 0; c < this.sizeClusters; c += 1) {
      const own = this.own.get(c) ?? (this.isThin ? undefined : 'zeros');
      if (own !== undefined) snapshot.own.set(c, own);
    }
    this.own.clear();
    snapshot.isReadOnly = true;
    snapshot.isSnapshot = true;
    snapshot.rebase(this.parent);
    this.rebase(snapshot);
    this.isThin = true;
    return snapshot;
  }

  clone(name: string): LayerModel {
    const clone = new LayerModel(name, this.clusterSizeBytes, this.sizeClusters);
    clone.rebase(this);
    return clone;
  }

  resize(sizeClusters: number): void {
    for (const cluster of this.own.keys()) if (cluster >= sizeClusters) this.own.delete(cluster);
    for (let c = this.sizeClusters; c < sizeClusters; c += 1) {
      if (this.parent?.source(c) !== undefined) this.own.set(c, 'zeros');
    }
    this.sizeClusters = sizeClusters;
  }

  /** Before its deletion: the only clone keeps its content. */
  mergeIntoClone(): void {
    const [clone] = this.clones;
    if (clone !== undefined) {
      for (let c = 0; c < clone.sizeClusters; c += 1) {
        if (clone.own.has(c)) continue;
        const own = this.own.get(c);
        const hides = c >= this.sizeClusters && this.parent?.source(c) !== undefined;
        if (own !== undefined) clone.own.set(c, own);
        else if (hides) clone.own.set(c, 'zeros');
      }
      clone.rebase(this.parent);
    }
    this.rebase(undefined);
  }

  rebase(parent: LayerModel | undefined): void {
    this.parent?.clones.delete(this);
    this.parent = parent;
    parent?.clones.add(this);
  }

  isOn(other: LayerModel): boolean {
    return this === other || (this.parent?.isOn(other) ?? false);
  }

  private ownCopy(cluster: number): Buffer {
    const own = this.own.get(cluster);
    if (own !== undefined && own !== 'zeros') return own;
    const copy = Buffer.alloc(this.clusterSizeBytes);
    this.source(cluster)?.copy(copy);
    this.own.set(cluster, copy);
    return copy;
  }

  private eachCluster(
    offsetBytes: number,
    lengthBytes: number,
    visit: (cluster: number, inner: number, at: number, length: number) => void,
  ): void {
    for (let at = 0; at < lengthBytes;) {
      const inner = (offsetBytes + at) % this.clusterSizeBytes;
      const length = Math.min(this.clusterSizeBytes - inner, lengthBytes - at);
      visit(Math.floor((offsetBytes + at) / this.clusterSizeBytes), inner, at, length);
      at += length;
    }
  }
}
