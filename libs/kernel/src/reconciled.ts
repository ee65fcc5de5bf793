/** What is compared with what should be: one reconciler a kind (docs/adr/0017). */
export type ReconcileKind =
  | 'claims'
  | 'clone-snapshots'
  | 'devices'
  | 'disks'
  | 'engines'
  | 'exports'
  | 'frontends'
  | 'heads'
  | 'image-copies'
  | 'leases'
  | 'limits'
  | 'loans'
  | 'nodes'
  | 'orphans'
  | 'record-copies'
  | 'promises'
  | 'rebuilds'
  | 'replicas'
  | 'strays'
  | 'surplus';

/** Objects that were compared, and those of them that were put right, since the process started. */
export interface ReconcileCount {
  readonly looks: number;
  readonly repairs: number;
}

/** Counts the looks and the repairs of a process's reconcilers: the proof that nothing was done when nothing was wrong. */
export class ReconcileCounts {
  private readonly counts = new Map<ReconcileKind, ReconcileCount>();

  looked(kind: ReconcileKind, objects = 1): void {
    this.add(kind, objects, 0);
  }

  /** Counted before the repair is tried: one that fails, again and again, is no silence either. */
  repaired(kind: ReconcileKind, objects = 1): void {
    this.add(kind, 0, objects);
  }

  view(): Readonly<Partial<Record<ReconcileKind, ReconcileCount>>> {
    return Object.fromEntries(this.counts);
  }

  private add(kind: ReconcileKind, looks: number, repairs: number): void {
    const before = this.counts.get(kind) ?? { looks: 0, repairs: 0 };
    this.counts.set(kind, { looks: before.looks + looks, repairs: before.repairs + repairs });
  }
}
