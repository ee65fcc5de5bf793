import { MeteredBdev } from '../metered-bdev.js';
import type { Bdev } from '../bdev.js';

/** A bdev that stands on one other, and has the size that this had at the time, as in SPDK. */
export abstract class OverlayBdev extends MeteredBdev {
  override readonly blockSizeBytes: number;
  override readonly sizeBytes: number;

  constructor(
    override readonly name: string,
    override readonly uuid: string,
    readonly base: Bdev,
  ) {
    super();
    this.blockSizeBytes = base.blockSizeBytes;
    this.sizeBytes = base.sizeBytes;
  }

  override get isReadOnly(): boolean {
    return this.base instanceof MeteredBdev && this.base.isReadOnly;
  }

  protected override readBlocks(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    return this.base.read(offsetBytes, lengthBytes);
  }

  protected override writeBlocks(offsetBytes: number, data: Buffer): Promise<void> {
    return this.base.write(offsetBytes, data);
  }

  protected override zeroBlocks(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.base.writeZeroes(offsetBytes, lengthBytes);
  }

  protected override unmapBlocks(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.base.unmap(offsetBytes, lengthBytes);
  }

  protected override flushBlocks(): Promise<void> {
    return this.base.flush();
  }
}
