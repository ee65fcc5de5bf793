import type { JsonObject } from '../../rpc/method.js';
import { MeteredBdev } from '../metered-bdev.js';
import type { Bdev } from '../bdev.js';
import type { LvolIo } from './lvol-io.js';
import type { Lvol } from './lvol.js';

/** What an lvol's bdev needs of its store. */
export interface LvolHome {
  readonly uuid: string;
  readonly base: Bdev;
  readonly clusterSizeBytes: number;
  readonly io: LvolIo;
  aliasOf(lvolName: string): string;
  isSnapshot(lvol: Lvol): boolean;
}

/** An lvol as others see it. Its name is its uuid; `<store>/<name>` is an alias. */
export class LvolBdev extends MeteredBdev {
  override readonly productName = 'Logical Volume';

  constructor(
    readonly store: LvolHome,
    readonly lvol: Lvol,
  ) {
    super();
    this.aliases = [store.aliasOf(lvol.name)];
  }

  override get name(): string {
    return this.lvol.uuid;
  }

  override get uuid(): string {
    return this.lvol.uuid;
  }

  override get blockSizeBytes(): number {
    return this.store.base.blockSizeBytes;
  }

  override get sizeBytes(): number {
    return this.lvol.sizeClusters * this.store.clusterSizeBytes;
  }

  override get isReadOnly(): boolean {
    return this.lvol.isReadOnly;
  }

  override get keepsNoData(): boolean {
    return this.store.base.keepsNoData === true;
  }

  /** vbdev_lvol_dump_info_json (module/bdev/lvol/vbdev_lvol.c). */
  override describe(): JsonObject {
    const { store, lvol } = this;
    const { parent, external } = lvol;
    const isSnapshot = store.isSnapshot(lvol);
    return {
      lvol: {
        lvol_store_uuid: store.uuid,
        base_bdev: store.base.name,
        thin_provision: lvol.isThin,
        num_allocated_clusters: lvol.allocatedClusters,
        snapshot: isSnapshot,
        clone: lvol.isClone,
        ...(parent === undefined ? {} : { base_snapshot: parent.name }),
        ...(isSnapshot ? { clones: [...lvol.clones].map((clone) => clone.name) } : {}),
        esnap_clone: external !== undefined,
        ...(external === undefined ? {} : { external_snapshot_name: external.uuid }),
      },
    };
  }

  protected override readBlocks(
    offsetBytes: number,
    lengthBytes: number,
    into?: Buffer,
  ): Promise<Buffer> {
    return this.store.io.read(this.lvol, offsetBytes, lengthBytes, into);
  }

  protected override writeBlocks(offsetBytes: number, data: Buffer): Promise<void> {
    return this.store.io.write(this.lvol, offsetBytes, data);
  }

  protected override zeroBlocks(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.store.io.zero(this.lvol, offsetBytes, lengthBytes);
  }

  protected override flushBlocks(): Promise<void> {
    return this.store.io.flush();
  }
}
