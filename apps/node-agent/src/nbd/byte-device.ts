import { MIB } from '@lariat/kernel';
import type { BlockDevice } from '@lariat/nvme-tcp';
import { RangeLock } from './range-lock.js';

type Backend = Pick<
  BlockDevice,
  'blockSizeBytes' | 'sizeBytes' | 'read' | 'write' | 'writeZeroes' | 'unmap' | 'flush'
> & {
  /** Of a device whose size may change. */
  refresh?(): Promise<void>;
};

const ZERO_EDGE = Buffer.alloc(MIB);

/**
 * A block device addressed by byte. What does not begin or end with a block is read, changed and written
 * back; the range is locked meanwhile, since two clients may write to halves of one block. What waits for its turn until
 * `isWanted` denies it throws Unwanted and changes nothing.
 */
export class ByteDevice {
  private readonly lock = new RangeLock();

  constructor(private readonly device: Backend) {}

  get sizeBytes(): number {
    return this.device.sizeBytes;
  }

  async refresh(): Promise<void> {
    await this.device.refresh?.();
  }

  get blockSizeBytes(): number {
    return this.device.blockSizeBytes;
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const { start, end } = this.blocks(offsetBytes, lengthBytes);
    const data = await this.device.read(start, end - start);
    return data.subarray(offsetBytes - start, offsetBytes - start + lengthBytes);
  }

  async write(offsetBytes: number, data: Buffer, isWanted?: () => boolean): Promise<void> {
    const { start, end } = this.blocks(offsetBytes, data.length);
    const task = (): Promise<void> => this.merge(start, end, offsetBytes, data);
    await this.lock.run(start, end, task, isWanted);
  }

  async writeZeroes(
    offsetBytes: number,
    lengthBytes: number,
    isWanted?: () => boolean,
  ): Promise<void> {
    const { start, end } = this.blocks(offsetBytes, lengthBytes);
    const endBytes = offsetBytes + lengthBytes;
    const inner = this.innerBlocks(offsetBytes, lengthBytes);
    const task = async (): Promise<void> => {
      if (inner === undefined) {
        await this.merge(start, end, offsetBytes, ZERO_EDGE.subarray(0, lengthBytes));
        return;
      }
      const head = ZERO_EDGE.subarray(0, inner.start - offsetBytes);
      const tail = ZERO_EDGE.subarray(0, endBytes - inner.end);
      if (head.length > 0) await this.merge(start, inner.start, offsetBytes, head);
      await this.device.writeZeroes(inner.start, inner.end - inner.start);
      if (tail.length > 0) await this.merge(inner.end, end, inner.end, tail);
    };
    await this.lock.run(start, end, task, isWanted);
  }

  /** Whole blocks alone: a hint about less than a block says nothing about the block. */
  async trim(offsetBytes: number, lengthBytes: number, isWanted?: () => boolean): Promise<void> {
    const inner = this.innerBlocks(offsetBytes, lengthBytes);
    if (inner === undefined) return;
    const task = (): Promise<void> => this.device.unmap(inner.start, inner.end - inner.start);
    await this.lock.run(inner.start, inner.end, task, isWanted);
  }

  flush(): Promise<void> {
    return this.device.flush();
  }

  /** Writes `data` into the blocks from `start` to `end`, keeping what else is in them. */
  private async merge(start: number, end: number, offset: number, data: Buffer): Promise<void> {
    if (start === offset && end === offset + data.length) {
      await this.device.write(start, data);
      return;
    }
    const { blockSizeBytes } = this.device;
    const whole = Buffer.alloc(end - start);
    // Only the first and the last block hold bytes that are to be kept.
    const first = await this.device.read(start, blockSizeBytes);
    first.copy(whole, 0);
    if (end - start > blockSizeBytes) {
      const last = await this.device.read(end - blockSizeBytes, blockSizeBytes);
      last.copy(whole, end - start - blockSizeBytes);
    }
    data.copy(whole, offset - start);
    await this.device.write(start, whole);
  }

  private blocks(offsetBytes: number, lengthBytes: number): { start: number; end: number } {
    const { blockSizeBytes } = this.device;
    return {
      start: Math.floor(offsetBytes / blockSizeBytes) * blockSizeBytes,
      end: Math.ceil((offsetBytes + lengthBytes) / blockSizeBytes) * blockSizeBytes,
    };
  }

  private innerBlocks(
    offsetBytes: number,
    lengthBytes: number,
  ): { start: number; end: number } | undefined {
    const { blockSizeBytes } = this.device;
    const start = Math.ceil(offsetBytes / blockSizeBytes) * blockSizeBytes;
    const end = Math.floor((offsetBytes + lengthBytes) / blockSizeBytes) * blockSizeBytes;
    return end > start ? { start, end } : undefined;
  }
}
