import type { Bdev } from '../bdev.js';
import { IoGate } from '../io-gate.js';
import { ClusterLocks } from './cluster-locks.js';
import type { ClusterTable } from './cluster-table.js';
import type { LvolRecord, ParentRecord } from './lvol-metadata.js';

/** A bdev outside the store beneath an lvol; it may come and go. */
export interface ExternalParent {
  readonly uuid: string;
  bdev: Bdev | undefined;
}

export interface LvolInit {
  readonly uuid: string;
  readonly name: string;
  readonly table: ClusterTable;
  readonly sizeClusters: number;
  readonly isThin: boolean;
  readonly isReadOnly: boolean;
  readonly isSnapshot: boolean;
}

/** A logical volume's state in memory: as committed, never ahead of it. */
export class Lvol {
  readonly uuid: string;
  name: string;
  table: ClusterTable;
  sizeClusters: number;
  isThin: boolean;
  isReadOnly: boolean;
  isSnapshot: boolean;
  /** The snapshot beneath. */
  parent: Lvol | undefined;
  /** The outside bdev beneath; never together with `parent`. */
  external: ExternalParent | undefined;
  readonly clones = new Set<Lvol>();
  /** Its writes pass here, so that snapshots and the like can stop them. */
  readonly writes = new IoGate();
  readonly locks = new ClusterLocks();
  /** A long operation is under way (shallow copy, inflate): others are refused. */
  isBusy = false;

  constructor(init: LvolInit) {
    this.uuid = init.uuid;
    this.name = init.name;
    this.table = init.table;
    this.sizeClusters = init.sizeClusters;
    this.isThin = init.isThin;
    this.isReadOnly = init.isReadOnly;
    this.isSnapshot = init.isSnapshot;
  }

  get isClone(): boolean {
    return this.parent !== undefined;
  }

  /** It, or something beneath it, stands on a bdev that is not there. */
  get isDegraded(): boolean {
    if (this.external !== undefined) return this.external.bdev === undefined;
    return this.parent?.isDegraded ?? false;
  }

  get hasBacking(): boolean {
    return this.parent !== undefined || this.external !== undefined;
  }

  /** Clusters set aside for a thick lvol, beside those that it owns. */
  get reservedClusters(): number {
    return this.isThin ? 0 : this.sizeClusters - this.table.ownedCount;
  }

  /** What SPDK reports: a thick lvol has all of its clusters. */
  get allocatedClusters(): number {
    return this.isThin ? this.table.ownedCount : this.sizeClusters;
  }

  toRecord(changes: Partial<LvolRecord> = {}): LvolRecord {
    return {
      uuid: this.uuid,
      name: this.name,
      blobId: this.table.blobId,
      sizeClusters: this.sizeClusters,
      isThin: this.isThin,
      isReadOnly: this.isReadOnly,
      isSnapshot: this.isSnapshot,
      parent: this.parentRecord(),
      ...changes,
    };
  }

  parentRecord(): ParentRecord {
    if (this.parent !== undefined) return { kind: 'lvol', uuid: this.parent.uuid };
    if (this.external !== undefined) return { kind: 'bdev', uuid: this.external.uuid };
    return { kind: 'none' };
  }

  /** Puts it onto another parent, in memory. */
  rebase(parent: Lvol | undefined, external: ExternalParent | undefined): void {
    this.parent?.clones.delete(this);
    this.parent = parent;
    this.external = external;
    parent?.clones.add(this);
  }
}
