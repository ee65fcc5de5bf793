import { BlockIoError, BlockIoFailure, type BlockDevice } from '@lariat/nvme-tcp';
import type { Bdev } from '../bdev.js';
import type { ClusterAllocator } from './cluster-allocator.js';
import { isOwned, UNALLOCATED, ZEROED } from './cluster-table.js';
import type { LvolMetadata } from './lvol-metadata.js';
import type { ExternalParent, Lvol } from './lvol.js';
import type { ReadTracker } from './read-tracker.js';

/** Where the bytes of one cluster of an lvol are. */
export type ClusterSource =
  | { readonly kind: 'zeros' }
  | { readonly kind: 'disk'; readonly cluster: number }
  | { readonly kind: 'external'; readonly external: ExternalParent };

const ZEROS: ClusterSource = { kind: 'zeros' };

interface Piece {
  readonly cluster: number;
  /** Offset within the cluster. */
  readonly innerBytes: number;
  /** Offset within the request. */
  readonly atBytes: number;
  readonly lengthBytes: number;
}

export interface LvolIoDeps {
  readonly base: Bdev;
  readonly clusterSizeBytes: number;
  readonly allocator: ClusterAllocator;
  readonly metadata: LvolMetadata;
  readonly reads: ReadTracker;
}

/**
 * Reads and writes of lvols. A write into a cluster that the lvol does not own fills a new cluster, with the
 * rest of it from beneath or zeros, then commits the table's entry, and only then is acknowledged: a crash at
 * any point leaves the old content or the new, and no bytes of the disk's past are ever readable.
 */
export class LvolIo {
  constructor(private readonly deps: LvolIoDeps) {}

  /** `into` is used for a read of one cluster's bytes, from the store's own disk. */
  read(lvol: Lvol, offsetBytes: number, lengthBytes: number, into?: Buffer): Promise<Buffer> {
    return this.deps.reads.run(async () => {
      const pieces = this.split(offsetBytes, lengthBytes);
      const only = pieces[0];
      if (only !== undefined && pieces.length === 1) return this.readPiece(lvol, only, into);
      const parts = await allSettledOrThrow(pieces.map((piece) => this.readPiece(lvol, piece)));
      return Buffer.concat(parts, lengthBytes);
    });
  }

  write(lvol: Lvol, offsetBytes: number, data: Buffer): Promise<void> {
    return lvol.writes.run(async () => {
      const pieces = this.split(offsetBytes, data.length);
      await allSettledOrThrow(
        pieces.map((piece) =>
          this.writePiece(
            lvol,
            piece,
            data.subarray(piece.atBytes, piece.atBytes + piece.lengthBytes),
          ),
        ),
      );
    });
  }

  zero(lvol: Lvol, offsetBytes: number, lengthBytes: number): Promise<void> {
    return lvol.writes.run(async () => {
      const pieces = this.split(offsetBytes, lengthBytes);
      await allSettledOrThrow(pieces.map((piece) => this.zeroPiece(lvol, piece)));
    });
  }

  /** After it a power cut loses nothing that was acknowledged before it. */
  async flush(): Promise<void> {
    const { base, metadata } = this.deps;
    const covered = metadata.unsyncedNow();
    await base.flush();
    await metadata.markSynced(covered);
    await metadata.flushed();
  }

  /**
   * To be awaited, while the writes of the lvols concerned wait, before what lies beneath allocated clusters is freed or
   * replaced: a power cut must find either.
   */
  async settle(): Promise<void> {
    if (this.deps.metadata.hasUnsynced()) await this.flush();
  }

  /**
   * Gives the lvol its own copy of a cluster that it has from beneath; `reserved` as for the allocator. False
   * when there was nothing to copy.
   */
  ownCluster(lvol: Lvol, cluster: number, reserved: boolean): Promise<boolean> {
    return lvol.writes.run(async () => {
      let copied = false;
      await this.exclusively(lvol, cluster, async () => {
        if (lvol.table.get(cluster) !== UNALLOCATED) return;
        if (this.locateBelow(lvol, cluster).kind === 'zeros') return;
        await this.allocate(lvol, cluster, await this.backing(lvol, cluster), reserved);
        copied = true;
      });
      return copied;
    });
  }

  /** What shows at a cluster of the lvol. */
  locate(lvol: Lvol, cluster: number): ClusterSource {
    const entry = cluster < lvol.sizeClusters ? lvol.table.get(cluster) : ZEROED;
    if (entry === ZEROED) return ZEROS;
    if (entry !== UNALLOCATED) return { kind: 'disk', cluster: entry };
    return this.locateBelow(lvol, cluster);
  }

  /** What shows where the lvol has nothing of its own. A smaller ancestor hides what is beneath its end. */
  locateBelow(lvol: Lvol, cluster: number): ClusterSource {
    if (lvol.external !== undefined) {
      const { bdev } = lvol.external;
      const end = bdev?.sizeBytes ?? Number.MAX_SAFE_INTEGER;
      if ((cluster + 1) * this.deps.clusterSizeBytes > end) return ZEROS;
      return { kind: 'external', external: lvol.external };
    }
    return lvol.parent === undefined ? ZEROS : this.locate(lvol.parent, cluster);
  }

  /** From this cluster on nothing of what lies beneath the lvol shows. Infinite when an outside parent is missing. */
  endBelow(lvol: Lvol): number {
    if (lvol.external === undefined) return lvol.parent?.sizeClusters ?? 0;
    const { bdev } = lvol.external;
    return bdev === undefined ? Infinity : bdev.sizeBytes / this.deps.clusterSizeBytes;
  }

  /** The disk's bytes of one cluster. */
  readDiskCluster(diskCluster: number): Promise<Buffer> {
    const size = this.deps.clusterSizeBytes;
    return this.deps.reads.run(() => this.deps.base.read(diskCluster * size, size));
  }

  private async readPiece(lvol: Lvol, piece: Piece, into?: Buffer): Promise<Buffer> {
    return this.readSource(this.locate(lvol, piece.cluster), piece, into);
  }

  private readSource(source: ClusterSource, piece: Piece, into?: Buffer): Promise<Buffer> {
    const { clusterSizeBytes, base } = this.deps;
    const { cluster, innerBytes, lengthBytes } = piece;
    switch (source.kind) {
      case 'zeros':
        return Promise.resolve(Buffer.alloc(lengthBytes));
      case 'disk':
        return base.read(source.cluster * clusterSizeBytes + innerBytes, lengthBytes, into);
      case 'external':
        return present(source.external).read(cluster * clusterSizeBytes + innerBytes, lengthBytes);
    }
  }

  private async writePiece(lvol: Lvol, piece: Piece, data: Buffer): Promise<void> {
    const { cluster, innerBytes } = piece;
    const inPlace = await this.inPlace(lvol, cluster, (diskOffsetBytes) =>
      this.deps.base.write(diskOffsetBytes + innerBytes, data),
    );
    if (inPlace) return;
    await this.exclusively(lvol, cluster, async () => {
      // Another write may have given the lvol the cluster while this one waited for its turn.
      const entry = lvol.table.get(cluster);
      if (isOwned(entry)) {
        await this.deps.base.write(entry * this.deps.clusterSizeBytes + innerBytes, data);
        return;
      }
      await this.allocate(lvol, cluster, await this.overlay(lvol, piece, data));
    });
  }

  private async zeroPiece(lvol: Lvol, piece: Piece): Promise<void> {
    const { cluster, innerBytes, lengthBytes } = piece;
    const isWhole = lengthBytes === this.deps.clusterSizeBytes;
    if (!isWhole || !lvol.isThin) {
      const inPlace = await this.inPlace(lvol, cluster, (diskOffsetBytes) =>
        this.deps.base.writeZeroes(diskOffsetBytes + innerBytes, lengthBytes),
      );
      if (inPlace) return;
    }
    if (this.locate(lvol, cluster).kind === 'zeros') return;
    await this.exclusively(lvol, cluster, async () => {
      const entry = lvol.table.get(cluster);
      if (entry === ZEROED) return;
      if (isWhole && (lvol.isThin || entry === UNALLOCATED)) {
        await this.dropCluster(lvol, cluster, entry);
      } else if (isOwned(entry)) {
        const diskOffsetBytes = entry * this.deps.clusterSizeBytes;
        await this.deps.base.writeZeroes(diskOffsetBytes + innerBytes, lengthBytes);
      } else {
        const zeros = Buffer.alloc(lengthBytes);
        await this.allocate(lvol, cluster, await this.overlay(lvol, piece, zeros));
      }
    });
  }

  /** Makes a whole cluster read as zeros without any of the disk. */
  private async dropCluster(lvol: Lvol, cluster: number, entry: number): Promise<void> {
    const { metadata, allocator, reads } = this.deps;
    const zeroed = lvol.hasBacking ? ZEROED : UNALLOCATED;
    if (zeroed === entry) return;
    await metadata.commit({ entries: [{ table: lvol.table, cluster, entry: zeroed }] });
    if (isOwned(entry)) {
      allocator.release([entry], Promise.all([metadata.flushed(), reads.drained()]));
    }
  }

  /** Runs `io` on the lvol's own cluster, beside other such; false when it has none. */
  private async inPlace(
    lvol: Lvol,
    cluster: number,
    io: (diskOffsetBytes: number) => Promise<void>,
  ): Promise<boolean> {
    for (;;) {
      const entry = lvol.table.get(cluster);
      if (!isOwned(entry)) return false;
      if (lvol.locks.tryShared(cluster)) {
        try {
          await io(entry * this.deps.clusterSizeBytes);
          return true;
        } finally {
          lvol.locks.releaseShared(cluster);
        }
      }
      await lvol.locks.wait(cluster);
    }
  }

  private async exclusively(lvol: Lvol, cluster: number, work: () => Promise<void>): Promise<void> {
    while (!lvol.locks.tryExclusive(cluster)) await lvol.locks.wait(cluster);
    try {
      await work();
    } finally {
      lvol.locks.releaseExclusive(cluster);
    }
  }

  private async allocate(
    lvol: Lvol,
    cluster: number,
    content: Buffer,
    reserved = !lvol.isThin,
  ): Promise<void> {
    const { allocator, base, clusterSizeBytes, metadata } = this.deps;
    const entry = await allocator.allocate(reserved);
    try {
      await base.write(entry * clusterSizeBytes, content);
      const { table } = lvol;
      await metadata.commit({
        entries: [{ table, cluster, entry }],
        allocated: [{ diskCluster: entry, replaced: table.get(cluster) }],
      });
    } catch (error) {
      // A commit that is visible may name the cluster after a restart: no one else may write there.
      if (metadata.isSound) allocator.giveBack(entry, reserved);
      throw error;
    }
  }

  private async overlay(lvol: Lvol, piece: Piece, data: Buffer): Promise<Buffer> {
    if (data.length === this.deps.clusterSizeBytes) return data;
    const content = await this.backing(lvol, piece.cluster);
    data.copy(content, piece.innerBytes);
    return content;
  }

  private backing(lvol: Lvol, cluster: number): Promise<Buffer> {
    const lengthBytes = this.deps.clusterSizeBytes;
    const isZeroed = lvol.table.get(cluster) === ZEROED;
    return this.deps.reads.run(() =>
      this.readSource(isZeroed ? ZEROS : this.locateBelow(lvol, cluster), {
        cluster,
        innerBytes: 0,
        atBytes: 0,
        lengthBytes,
      }),
    );
  }

  private split(offsetBytes: number, lengthBytes: number): readonly Piece[] {
    const size = this.deps.clusterSizeBytes;
    const pieces: Piece[] = [];
    for (let atBytes = 0; atBytes < lengthBytes;) {
      const at = offsetBytes + atBytes;
      const innerBytes = at % size;
      const length = Math.min(size - innerBytes, lengthBytes - atBytes);
      pieces.push({ cluster: (at - innerBytes) / size, innerBytes, atBytes, lengthBytes: length });
      atBytes += length;
    }
    return pieces;
  }
}

function present(external: ExternalParent): BlockDevice {
  if (external.bdev !== undefined) return external.bdev;
  throw new BlockIoError(
    BlockIoFailure.gone,
    `the external snapshot ${external.uuid} is not there; attach the bdev with that uuid`,
  );
}

/** Waits for all: none of the parts may still run when the request has been answered. */
async function allSettledOrThrow<T>(parts: readonly Promise<T>[]): Promise<T[]> {
  const results: T[] = [];
  for (const outcome of await Promise.allSettled(parts)) {
    if (outcome.status === 'rejected') throw outcome.reason;
    results.push(outcome.value);
  }
  return results;
}
