import { KeyedQueue } from '@lariat/kernel';
import { RpcError } from '../../rpc/rpc-error.js';
import { BdevClaim, type Bdev, type BdevRegistry } from '../bdev.js';
import { ClusterAllocator } from './cluster-allocator.js';
import { isOwned } from './cluster-table.js';
import { LvolBdev } from './lvol-bdev.js';
import { LvolIo } from './lvol-io.js';
import type { LvolMetadata, LvolRecord, StoreRecord } from './lvol-metadata.js';
import { Lvol, type ExternalParent } from './lvol.js';
import { ReadTracker } from './read-tracker.js';

/** SPDK_LVS_NAME_MAX and SPDK_LVOL_NAME_MAX (include/spdk/lvol.h), less the closing zero. */
const MAX_NAME_BYTES = 63;

/** What users write and never flush is lost to a power cut no longer than this after it. */
const SETTLE_INTERVAL_MS = 5_000;

/** The metadata contradicts itself; nothing may be done with the store's disk. */
export class CorruptStore extends Error {
  override readonly name = 'CorruptStore';
}

export interface LvolStoreDeps {
  readonly registry: BdevRegistry;
  readonly base: Bdev;
  readonly metadata: LvolMetadata;
}

/** An open lvol store: its lvols, its space, and the bdevs that show them. */
export class LvolStore {
  readonly uuid: string;
  readonly clusterSizeBytes: number;
  readonly base: Bdev;
  readonly metadata: LvolMetadata;
  readonly allocator: ClusterAllocator;
  readonly io: LvolIo;
  readonly lvols = new Map<string, Lvol>();
  private readonly registry: BdevRegistry;
  private readonly bdevs = new Map<Lvol, LvolBdev>();
  private readonly reads = new ReadTracker();
  private readonly operations = new KeyedQueue();
  private readonly settling: NodeJS.Timeout;
  private record: StoreRecord;

  constructor({ registry, base, metadata }: LvolStoreDeps, record: StoreRecord) {
    this.registry = registry;
    this.base = base;
    this.metadata = metadata;
    this.record = record;
    this.uuid = record.uuid;
    this.clusterSizeBytes = record.clusterSizeBytes;
    this.allocator = new ClusterAllocator(record.totalClusters);
    this.io = new LvolIo({
      base,
      clusterSizeBytes: record.clusterSizeBytes,
      allocator: this.allocator,
      metadata,
      reads: this.reads,
    });
    this.settling = setInterval(() => this.settle(), SETTLE_INTERVAL_MS).unref();
  }

  get name(): string {
    return this.record.name;
  }

  /** Takes up the lvols of the metadata; throws CorruptStore. */
  load(): void {
    const records = this.metadata.readLvols();
    const tables = this.metadata.readTables();
    for (const record of records) {
      const table = tables.get(record.blobId) ?? this.metadata.existingTable(record.blobId);
      for (const [cluster, entry] of table.entries()) {
        if (isOwned(entry) && !this.allocator.occupy(entry)) {
          throw new CorruptStore(
            `cluster ${cluster} of lvol ${record.name} is at ${entry}, which is another's or outside the disk`,
          );
        }
      }
      this.lvols.set(record.uuid, new Lvol({ ...record, table }));
    }
    for (const record of records) this.linkParent(record);
    for (const lvol of this.lvols.values()) {
      if (!this.allocator.reserve(lvol.reservedClusters)) {
        throw new CorruptStore(`the disk has no room for thick lvol ${lvol.name}`);
      }
    }
  }

  /** One operation at a time changes which lvols there are and how they stand to each other. */
  exclusively<T>(operation: () => Promise<T>): Promise<T> {
    return this.operations.run(this.uuid, operation);
  }

  aliasOf(lvolName: string): string {
    return `${this.name}/${lvolName}`;
  }

  findByName(name: string): Lvol | undefined {
    for (const lvol of this.lvols.values()) if (lvol.name === name) return lvol;
    return undefined;
  }

  /** spdk_blob_is_snapshot: made by a snapshot, or with clones. */
  isSnapshot(lvol: Lvol): boolean {
    return lvol.isSnapshot || lvol.clones.size > 0;
  }

  /** Throws EINVAL or EEXIST, as lvs_verify_lvol_name. */
  checkNewName(name: string): void {
    checkName(name);
    if (this.findByName(name) !== undefined) throw RpcError.errno('EEXIST');
    if (this.registry.find(this.aliasOf(name)) !== undefined) throw RpcError.errno('EEXIST');
  }

  bdevOf(lvol: Lvol): LvolBdev | undefined {
    return this.bdevs.get(lvol);
  }

  isClaimed(lvol: Lvol): boolean {
    const bdev = this.bdevs.get(lvol);
    return bdev !== undefined && this.registry.claimOf(bdev) !== undefined;
  }

  /** Registers the lvol's bdev, unless it has one or is degraded. */
  show(lvol: Lvol): void {
    if (this.bdevs.has(lvol) || lvol.isDegraded) return;
    const bdev = new LvolBdev(this, lvol);
    this.bdevs.set(lvol, bdev);
    try {
      this.registry.register(bdev);
    } catch (error) {
      this.bdevs.delete(lvol);
      throw error;
    }
  }

  /** Shows each lvol that can be. */
  showAll(): void {
    for (const lvol of this.lvols.values()) this.show(lvol);
  }

  /** Unregisters the lvol's bdev and resolves when none of its I/O is under way. */
  async hide(lvol: Lvol): Promise<void> {
    const bdev = this.bdevs.get(lvol);
    if (bdev === undefined) return;
    this.bdevs.delete(lvol);
    this.registry.unregister(bdev);
    await bdev.retire();
  }

  renameAlias(lvol: Lvol, alias: string): void {
    const bdev = this.bdevs.get(lvol);
    if (bdev !== undefined) this.registry.setAliases(bdev, [alias]);
  }

  resized(lvol: Lvol): void {
    const bdev = this.bdevs.get(lvol);
    if (bdev !== undefined) this.registry.resized(bdev);
  }

  /** Connects an outside parent if its bdev is there; throws EPERM when that is in exclusive use. */
  connect(lvol: Lvol): void {
    const { external } = lvol;
    if (external === undefined || external.bdev !== undefined) return;
    external.bdev = this.claimExternal(lvol, external.uuid).bdev;
  }

  /** An outside parent for the lvol, claimed if it is there. */
  claimExternal(lvol: Lvol, uuid: string): ExternalParent {
    const bdev = this.registry.find(uuid);
    if (bdev !== undefined) this.registry.claim(bdev, claimUser(lvol), BdevClaim.shared);
    return { uuid, bdev };
  }

  /** Gives the claim on an outside parent back; `heir` is the lvol that takes it over, if any. */
  disconnect(lvol: Lvol, external: ExternalParent | undefined, heir?: Lvol): void {
    if (external?.bdev === undefined) return;
    if (heir !== undefined) this.registry.claim(external.bdev, claimUser(heir), BdevClaim.shared);
    this.registry.release(external.bdev, claimUser(lvol));
  }

  /** For clusters that committed metadata no longer names. */
  release(clusters: readonly number[]): void {
    if (clusters.length === 0) return;
    const unseen = Promise.all([this.metadata.flushed(), this.reads.drained()]);
    this.allocator.release(clusters, unseen);
  }

  async rename(name: string): Promise<void> {
    const record = { ...this.record, name };
    await this.metadata.commit({ store: record, apply: () => (this.record = record) });
    for (const lvol of this.lvols.values()) this.renameAlias(lvol, this.aliasOf(lvol.name));
  }

  /** Takes up a larger base bdev. */
  async grow(): Promise<void> {
    const totalClusters = clustersOf(this.base.sizeBytes, this.clusterSizeBytes);
    if (totalClusters <= this.record.totalClusters) return;
    const record = { ...this.record, totalClusters };
    await this.metadata.commit({
      store: record,
      apply: () => {
        this.record = record;
        this.allocator.grow(totalClusters);
      },
    });
  }

  /** Takes all bdevs away and closes the metadata. */
  async close(): Promise<void> {
    clearInterval(this.settling);
    await this.exclusively(async () => {
      await Promise.all([...this.lvols.values()].map((lvol) => this.hide(lvol)));
      for (const lvol of this.lvols.values()) this.disconnect(lvol, lvol.external);
      // Else the next boot would take an orderly stop for a power cut. A disk that is gone has its part on record.
      await this.io.flush().catch(() => undefined);
      await this.metadata.close();
    });
  }

  private settle(): void {
    // A disk that can't be flushed tells its users when they flush.
    this.io.settle().catch(() => undefined);
  }

  private linkParent({ uuid, name, parent }: LvolRecord): void {
    const lvol = this.lvols.get(uuid);
    if (lvol === undefined || parent.kind === 'none') return;
    if (parent.kind === 'bdev') {
      lvol.rebase(undefined, { uuid: parent.uuid, bdev: undefined });
      return;
    }
    const snapshot = this.lvols.get(parent.uuid);
    if (snapshot === undefined) throw new CorruptStore(`the parent of lvol ${name} is missing`);
    lvol.rebase(snapshot, undefined);
  }
}

/** Throws EINVAL unless it has 1 to 63 bytes. */
export function checkName(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes < 1 || bytes > MAX_NAME_BYTES) throw RpcError.errno('EINVAL');
}

export function clustersOf(sizeBytes: number, clusterSizeBytes: number): number {
  return Math.floor(sizeBytes / clusterSizeBytes);
}

function claimUser(lvol: Lvol): string {
  return `esnap clone ${lvol.uuid}`;
}
