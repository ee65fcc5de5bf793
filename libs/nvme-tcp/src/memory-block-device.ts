import { randomUUID } from 'node:crypto';
import { type BlockDevice, BlockIoError } from './block-device.js';

export interface MemoryBlockDeviceOptions {
  readonly sizeBytes: number;
  /** 512 when left out. */
  readonly blockSizeBytes?: number;
  readonly uuid?: string;
}

/** A BlockDevice in memory, for tests and benchmarks; it loses everything with the process. */
export class MemoryBlockDevice implements BlockDevice {
  readonly uuid: string;
  readonly blockSizeBytes: number;
  private bytes: Buffer;

  constructor(options: MemoryBlockDeviceOptions) {
    this.uuid = options.uuid ?? randomUUID();
    this.blockSizeBytes = options.blockSizeBytes ?? 512;
    this.bytes = Buffer.alloc(options.sizeBytes);
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  /** Keeps the contents up to the smaller size; new space reads as zeros. */
  resize(sizeBytes: number): void {
    const bytes = Buffer.alloc(sizeBytes);
    this.bytes.copy(bytes);
    this.bytes = bytes;
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    this.check(offsetBytes, lengthBytes);
    const copy = Buffer.allocUnsafeSlow(lengthBytes);
    this.bytes.copy(copy, 0, offsetBytes, offsetBytes + lengthBytes);
    return copy;
  }

  async write(offsetBytes: number, data: Buffer): Promise<void> {
    this.check(offsetBytes, data.length);
    data.copy(this.bytes, offsetBytes);
  }

  async writeZeroes(offsetBytes: number, lengthBytes: number): Promise<void> {
    this.check(offsetBytes, lengthBytes);
    this.bytes.fill(0, offsetBytes, offsetBytes + lengthBytes);
  }

  async unmap(offsetBytes: number, lengthBytes: number): Promise<void> {
    await this.writeZeroes(offsetBytes, lengthBytes);
  }

  async flush(): Promise<void> {
    // Memory is as durable as it gets.
  }

  private check(offsetBytes: number, lengthBytes: number): void {
    const aligned =
      offsetBytes % this.blockSizeBytes === 0 && lengthBytes % this.blockSizeBytes === 0;
    if (
      aligned &&
      offsetBytes >= 0 &&
      lengthBytes >= 0 &&
      offsetBytes + lengthBytes <= this.sizeBytes
    )
      return;
    throw new BlockIoError(
      'out-of-range',
      `${lengthBytes} bytes at ${offsetBytes} are not whole blocks within a device of ${this.sizeBytes} bytes`,
    );
  }
}
