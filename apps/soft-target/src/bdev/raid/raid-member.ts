import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import type { Bdev } from '../bdev.js';

/** A base bdev that a raid holds. I/O to it ends at the latest when it is removed, however it hangs. */
export class RaidMember {
  readonly name: string;
  readonly uuid: string;
  /** Set while it is being filled: written to, never read from. */
  isRebuilding: boolean;
  private removed = false;
  private readonly cut = new Set<(error: BlockIoError) => void>();

  constructor(
    readonly bdev: Bdev,
    isRebuilding = false,
  ) {
    this.name = bdev.name;
    this.uuid = bdev.uuid;
    this.isRebuilding = isRebuilding;
  }

  get isRemoved(): boolean {
    return this.removed;
  }

  /** Runs I/O of the base bdev; rejects with `gone` as soon as the member is removed. */
  run<T>(io: (bdev: Bdev) => Promise<T>): Promise<T> {
    if (this.removed) return Promise.reject(this.gone());
    return new Promise<T>((resolve, reject) => {
      this.cut.add(reject);
      io(this.bdev)
        .then(resolve, reject)
        .finally(() => this.cut.delete(reject));
    });
  }

  remove(): void {
    this.removed = true;
    for (const reject of this.cut) reject(this.gone());
    this.cut.clear();
  }

  private gone(): BlockIoError {
    return new BlockIoError(BlockIoFailure.gone, `${this.name} was removed from its raid`);
  }
}
