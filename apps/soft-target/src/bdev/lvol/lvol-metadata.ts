import { join } from 'node:path';
import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import { open, type Database, type RootDatabase, type RootDatabaseOptionsWithPath } from 'lmdb';
import { checkLmdbFile } from './lmdb-file.js';
import { RpcError } from '../../rpc/rpc-error.js';
import { ClusterTable, EXTENT_CLUSTERS } from './cluster-table.js';
import { UnsyncedClusters, type Allocation } from './unsynced-clusters.js';

export interface StoreRecord {
  readonly format: 1;
  readonly uuid: string;
  readonly name: string;
  readonly clusterSizeBytes: number;
  /** Clusters of the bdev, with the superblock's. */
  readonly totalClusters: number;
}

export type ParentRecord =
  | { readonly kind: 'none' }
  | { readonly kind: 'lvol'; readonly uuid: string }
  /** A bdev outside the store, known by its uuid. */
  | { readonly kind: 'bdev'; readonly uuid: string };

export interface LvolRecord {
  readonly uuid: string;
  readonly name: string;
  readonly blobId: number;
  readonly sizeClusters: number;
  readonly isThin: boolean;
  readonly isReadOnly: boolean;
  readonly isSnapshot: boolean;
  readonly parent: ParentRecord;
}

export interface EntryChange {
  readonly table: ClusterTable;
  readonly cluster: number;
  readonly entry: number;
}

/** What one operation changes, all of it or nothing. `apply` updates memory once it is committed. */
export interface MetadataChange {
  readonly store?: StoreRecord;
  readonly putLvols?: readonly LvolRecord[];
  readonly removeLvols?: readonly string[];
  readonly entries?: readonly EntryChange[];
  readonly removeTables?: readonly ClusterTable[];
  /** Of the disk clusters that `entries` names for the first time. */
  readonly allocated?: readonly Allocation[];
  readonly synced?: readonly Allocation[];
  readonly apply?: () => void;
}

/** All records as they are, for a check that believes none of them. */
export interface RawMetadata {
  readonly store: unknown;
  readonly lvols: readonly { readonly key: unknown; readonly value: unknown }[];
  readonly extents: readonly { readonly key: unknown; readonly value: Buffer }[];
}

interface Queued {
  readonly change: MetadataChange;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const STORE_KEY = 'store';
const BOOT_KEY = 'boot';

/** lmdb-js's types don't have `safeRestore`, which its README and its open.js do. */
type EnvironmentOptions = RootDatabaseOptionsWithPath & { readonly safeRestore: boolean };

/**
 * A store's metadata in an lmdb environment. Memory is changed only by committed changes, one commit at a
 * time; those that come in meanwhile share the next one. A committed change survives the death of the
 * process; it survives a power cut once `flushed` has resolved. The bytes of newly allocated clusters are not on the medium
 * when a commit is: `recover` undoes those allocations that no `markSynced` has followed before the power went.
 *
 * How lmdb-js's overlappingSync does that (its mdb.c): a commit writes its pages beside those in use, then one of two meta
 * pages, without waiting for the disk. A flush syncs the file, then writes through a third meta, of what is on disk whole.
 * Each meta has the machine's boot id: on the same boot the last commit is taken, since the page cache has all of it;
 * after another boot a commit that was not flushed may be torn, and the flushed one is taken, whose pages are not reused
 * until a later one is flushed. A meta lies within one sector, which a disk writes whole or not at all.
 *
 * A commit that is visible and could not be flushed ends it all: the kernel tells a failed write-back to one sync only, so
 * that the next flush would vouch for pages that are lost. From then on commits and flushes fail; `onFailure` is told once.
 */
export class LvolMetadata {
  private readonly root: RootDatabase<StoreRecord, string>;
  private readonly lvols: Database<LvolRecord, string>;
  private readonly extents: Database<Buffer, [number, number]>;
  /** By disk cluster, the entry that it has replaced. */
  private readonly unsyncedEntries: Database<number, number>;
  /** Of the process that wrote last. */
  private readonly marks: Database<string, string>;
  private readonly unsynced = new UnsyncedClusters();
  private queued: Queued[] = [];
  private isCommitting = false;
  private isClosed = false;
  private failure: Error | undefined;
  private readonly flushing = new Set<(error: Error) => void>();
  private idle: Promise<void> = Promise.resolve();
  private nextBlobId = 1;

  /** Throws when the folder holds what is no database. */
  constructor(
    readonly folder: string,
    private readonly onFailure: (error: Error) => void = () => undefined,
  ) {
    checkLmdbFile(join(folder, 'data.mdb'));
    const options: EnvironmentOptions = {
      path: folder,
      noSubdir: false,
      encoding: 'json',
      overlappingSync: true,
      // Each commit is a batch of ours. Batches of lmdb-js's own have a promise that no one can catch when it is rejected.
      eventTurnBatching: false,
      // lmdb-js takes its default from $LMDB_RESTORE; set, kill -9 would lose what was acknowledged and not yet flushed.
      safeRestore: false,
      separateFlushed: true,
      maxDbs: 4,
    };
    this.root = open<StoreRecord, string>(options);
    this.lvols = this.root.openDB<LvolRecord, string>({ name: 'lvols', encoding: 'json' });
    this.extents = this.root.openDB<Buffer, [number, number]>({
      name: 'extents',
      encoding: 'binary',
    });
    this.unsyncedEntries = this.root.openDB<number, number>({ name: 'unsynced', encoding: 'json' });
    this.marks = this.root.openDB<string, string>({ name: 'marks', encoding: 'json' });
  }

  /**
   * To be awaited before anything is read. After another boot than `bootId` the entries whose bytes were never synced give
   * way to what they replaced; resolves with how many.
   */
  async recover(bootId: string): Promise<number> {
    const lastBootId = this.marks.get(BOOT_KEY);
    const found = [...this.unsyncedEntries.getRange()].map(({ key, value }) => ({
      diskCluster: key,
      replaced: value,
    }));
    if (lastBootId === bootId) {
      for (const allocation of found) this.unsynced.add(allocation);
      return 0;
    }
    const lost = lastBootId === undefined ? [] : found;
    let reverted = 0;
    await this.root.batch(() => {
      reverted = this.revert(lost);
      for (const { diskCluster } of lost) ofBatch(this.unsyncedEntries.remove(diskCluster));
      ofBatch(this.marks.put(BOOT_KEY, bootId));
    });
    await this.flushed();
    return reverted;
  }

  readStore(): StoreRecord | undefined {
    return this.root.get(STORE_KEY);
  }

  /** The lvols in the order in which their blobs were made. */
  readLvols(): readonly LvolRecord[] {
    const records = [...this.lvols.getRange()].map(({ value }) => value);
    return records.toSorted((a, b) => a.blobId - b.blobId);
  }

  readTables(): ReadonlyMap<number, ClusterTable> {
    const tables = new Map<number, ClusterTable>();
    for (const { key, value } of this.extents.getRange()) {
      const [blobId, index] = key;
      const table = tables.get(blobId) ?? this.existingTable(blobId);
      tables.set(blobId, table);
      for (let at = 0; at < EXTENT_CLUSTERS; at += 1) {
        const entry = value.readUInt32LE(at * 4);
        if (entry !== 0) table.set(index * EXTENT_CLUSTERS + at, entry);
      }
    }
    return tables;
  }

  readRaw(): RawMetadata {
    return {
      store: this.readStore(),
      lvols: [...this.lvols.getRange()],
      // lmdb may lend the same memory to each value.
      extents: [...this.extents.getRange()].map(({ key, value }) => ({
        key,
        value: Buffer.from(value),
      })),
    };
  }

  /** A table for a new blob. */
  newTable(): ClusterTable {
    return new ClusterTable(this.nextBlobId++);
  }

  /** An empty table of a blob that was stored; ids of new ones stay above it. */
  existingTable(blobId: number): ClusterTable {
    this.nextBlobId = Math.max(this.nextBlobId, blobId + 1);
    return new ClusterTable(blobId);
  }

  /** Rejects with ENODEV once the store is being closed: a method that goes on beside it ends so. */
  commit(change: MetadataChange): Promise<void> {
    if (this.isClosed) return Promise.reject(RpcError.errno('ENODEV'));
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const done = new Promise<void>((resolve, reject) =>
      this.queued.push({ change, resolve, reject }),
    );
    for (const allocation of change.allocated ?? []) this.unsynced.add(allocation);
    if (!this.isCommitting) {
      this.isCommitting = true;
      this.idle = this.commitQueued();
    }
    return done;
  }

  hasUnsynced(): boolean {
    return this.unsynced.size > 0;
  }

  /** Clusters that a sync of the disk, begun now, brings to the medium. */
  unsyncedNow(): readonly Allocation[] {
    return this.unsynced.all();
  }

  /** The disk was synced since `unsyncedNow` gave these. */
  async markSynced(allocations: readonly Allocation[]): Promise<void> {
    const synced = allocations.filter((allocation) => this.unsynced.has(allocation));
    if (synced.length > 0) await this.commit({ synced });
  }

  /** False once a commit is visible of which no one knows whether it is on the medium. */
  get isSound(): boolean {
    return this.failure === undefined;
  }

  flushed(): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return new Promise<void>((resolve, reject) => {
      this.flushing.add(reject);
      void Promise.resolve(this.root.flushed)
        .then(() => {
          // lmdb-js calls a commit flushed also when the meta page after it could not be written.
          if (this.lastTxnId() === undefined) {
            throw this.fail(new Error('its last meta page was not written'));
          }
          resolve();
        })
        .catch(reject)
        .finally(() => this.flushing.delete(reject));
    });
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.idle;
    const closed = this.root.close();
    // lmdb-js waits for its last flush, and for ever for one that has failed.
    if (this.failure === undefined) await closed;
    else closed.catch(() => undefined);
  }

  /** Of the last commit that is visible; undefined when lmdb takes the environment for broken. */
  private lastTxnId(): number | undefined {
    try {
      return (this.root.getStats() as { readonly lastTxnId: number }).lastTxnId;
    } catch {
      return undefined;
    }
  }

  private fail(cause: Error): Error {
    if (this.failure !== undefined) return this.failure;
    const message = `metadata in ${this.folder} can't be brought to the medium: ${cause.message}`;
    this.failure = new BlockIoError(BlockIoFailure.media, message, cause);
    for (const reject of this.flushing) reject(this.failure);
    this.flushing.clear();
    for (const { reject } of this.queued.splice(0)) reject(this.failure);
    this.onFailure(this.failure);
    return this.failure;
  }

  private revert(lost: readonly Allocation[]): number {
    if (lost.length === 0) return 0;
    const replaced = new Map(
      lost.map((allocation) => [allocation.diskCluster, allocation.replaced]),
    );
    let reverted = 0;
    for (const { key, value } of [...this.extents.getRange()]) {
      const extent = Buffer.from(value);
      const before = reverted;
      for (let at = 0; at < extent.length; at += 4) {
        const entry = replaced.get(extent.readUInt32LE(at));
        if (entry === undefined) continue;
        extent.writeUInt32LE(entry, at);
        reverted += 1;
      }
      if (reverted > before) ofBatch(this.extents.put(key, extent));
    }
    return reverted;
  }

  private async commitQueued(): Promise<void> {
    // The changes of one turn of the event loop go into one commit.
    await Promise.resolve();
    while (this.queued.length > 0) {
      const batch = this.queued.splice(0);
      const before = this.lastTxnId();
      try {
        await this.root.batch(() => this.write(batch.map(({ change }) => change)));
      } catch (error) {
        const cause = await causeOf(error);
        // Undone as a whole, as where there is no space for it; or it is visible, and was not flushed.
        const reason = this.lastTxnId() === before ? cause : this.fail(cause);
        for (const { reject } of batch) reject(reason);
        continue;
      }
      for (const { change, resolve } of batch) {
        for (const { table, cluster, entry } of change.entries ?? []) table.set(cluster, entry);
        for (const allocation of change.synced ?? []) this.unsynced.remove(allocation);
        change.apply?.();
        resolve();
      }
    }
    this.isCommitting = false;
  }

  private write(changes: readonly MetadataChange[]): void {
    const touched = new Map<ClusterTable, Map<number, Uint32Array>>();
    for (const change of changes) {
      if (change.store !== undefined) ofBatch(this.root.put(STORE_KEY, change.store));
      for (const record of change.putLvols ?? []) ofBatch(this.lvols.put(record.uuid, record));
      for (const uuid of change.removeLvols ?? []) ofBatch(this.lvols.remove(uuid));
      for (const { table, cluster, entry } of change.entries ?? []) {
        const index = Math.floor(cluster / EXTENT_CLUSTERS);
        const extents = touched.get(table) ?? new Map<number, Uint32Array>();
        touched.set(table, extents);
        const extent = extents.get(index) ?? table.copyOfExtent(index);
        extents.set(index, extent);
        extent[cluster % EXTENT_CLUSTERS] = entry;
      }
      // In the order of the changes: a cluster that was synced, freed and allocated again is unsynced.
      for (const { diskCluster } of change.synced ?? []) {
        ofBatch(this.unsyncedEntries.remove(diskCluster));
      }
      for (const { diskCluster, replaced } of change.allocated ?? []) {
        ofBatch(this.unsyncedEntries.put(diskCluster, replaced));
      }
    }
    for (const [table, extents] of touched) {
      for (const [index, extent] of extents) {
        ofBatch(this.extents.put([table.blobId, index], encodeExtent(extent)));
      }
    }
    for (const table of changes.flatMap((change) => change.removeTables ?? [])) {
      for (const index of table.extentIndexes()) {
        ofBatch(this.extents.remove([table.blobId, index]));
      }
    }
  }
}

function encodeExtent(extent: Uint32Array): Buffer {
  const buffer = Buffer.allocUnsafe(extent.length * 4);
  for (const [at, entry] of extent.entries()) buffer.writeUInt32LE(entry, at * 4);
  return buffer;
}

/** A write within a batch fails with the batch's own promise; its own is nobody's. */
function ofBatch(written: Promise<boolean>): void {
  written.catch(() => undefined);
}

/** lmdb-js rejects each write of a batch at once, and tells why by a promise of its own. */
async function causeOf(error: unknown): Promise<Error> {
  const told = (error as { readonly commitError?: Promise<never> }).commitError;
  const cause: unknown = await told?.catch((reason: unknown) => reason);
  return (cause ?? error) as Error;
}
