import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import type { JsonObject, MethodCall } from '../rpc/method.js';
import type { Bdev } from './bdev.js';
import { IoGate } from './io-gate.js';
import { IoStat, type IoKind } from './io-stat.js';
import { RateLimits } from './rate-limits.js';

/**
 * A bdev whose I/O is checked against its size, counted (bdev_get_iostat), kept to its limits
 * (bdev_set_qos_limit) and held by its gate (lariat_bdev_quiesce). Modules implement the `…Blocks` methods.
 */
export abstract class MeteredBdev implements Bdev {
  abstract readonly name: string;
  /** The registry alone changes it. */
  aliases: readonly string[] = [];
  abstract readonly productName: string;
  abstract readonly uuid: string;
  abstract readonly blockSizeBytes: number;
  abstract readonly sizeBytes: number;

  readonly stat = new IoStat();
  readonly limits = new RateLimits();
  readonly gate = new IoGate();
  private isGone = false;

  abstract describe(): JsonObject;

  /** The call that makes it; undefined for what comes of something else. */
  get creation(): MethodCall | undefined {
    return undefined;
  }

  protected abstract readBlocks(
    offsetBytes: number,
    lengthBytes: number,
    into?: Buffer,
  ): Promise<Buffer>;
  protected abstract writeBlocks(offsetBytes: number, data: Buffer): Promise<void>;
  protected abstract zeroBlocks(offsetBytes: number, lengthBytes: number): Promise<void>;
  protected abstract flushBlocks(): Promise<void>;

  protected unmapBlocks(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.zeroBlocks(offsetBytes, lengthBytes);
  }

  get isReadOnly(): boolean {
    return false;
  }

  get keepsNoData(): boolean {
    return false;
  }

  read(offsetBytes: number, lengthBytes: number, into?: Buffer): Promise<Buffer> {
    return this.admit('read', offsetBytes, lengthBytes, () =>
      this.readBlocks(offsetBytes, lengthBytes, into),
    );
  }

  write(offsetBytes: number, data: Buffer): Promise<void> {
    return this.admit('write', offsetBytes, data.length, () => this.writeBlocks(offsetBytes, data));
  }

  writeZeroes(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.admit('zero', offsetBytes, lengthBytes, () =>
      this.zeroBlocks(offsetBytes, lengthBytes),
    );
  }

  /** Always as zeroing: the legs of a mirror must read the same after it, whatever they stand on. */
  unmap(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.admit('unmap', offsetBytes, lengthBytes, () =>
      this.unmapBlocks(offsetBytes, lengthBytes),
    );
  }

  flush(): Promise<void> {
    return this.counted(() => this.flushBlocks());
  }

  /** From now on all I/O fails with `gone`; resolves when what was in flight has ended. */
  async retire(): Promise<void> {
    this.isGone = true;
    this.gate.open();
    await this.gate.idle();
  }

  private async admit<T>(
    kind: IoKind | 'zero',
    offsetBytes: number,
    lengthBytes: number,
    io: () => Promise<T>,
  ): Promise<T> {
    this.checkRange(offsetBytes, lengthBytes);
    if (kind !== 'read' && this.isReadOnly) {
      throw new BlockIoError(BlockIoFailure.readOnly, `${this.name} is read only`);
    }
    const startedMs = performance.now();
    // As bdev_qos_io_to_limit: what moves no data of the user's is not limited.
    const isLimited = kind === 'read' || kind === 'write';
    const turn = isLimited ? this.limits.admit(kind === 'read', lengthBytes) : undefined;
    if (turn !== undefined) await turn;
    const result = await this.counted(io);
    if (kind !== 'zero') this.stat.add(kind, lengthBytes, startedMs);
    return result;
  }

  private async counted<T>(io: () => Promise<T>): Promise<T> {
    try {
      return await this.gate.run(() => {
        this.checkPresent();
        return io();
      });
    } catch (error) {
      this.stat.addFailure(error);
      throw error;
    }
  }

  private checkPresent(): void {
    if (this.isGone) throw new BlockIoError(BlockIoFailure.gone, `${this.name} was removed`);
  }

  private checkRange(offsetBytes: number, lengthBytes: number): void {
    const block = this.blockSizeBytes;
    const fits =
      Number.isSafeInteger(offsetBytes) &&
      offsetBytes >= 0 &&
      lengthBytes >= 0 &&
      offsetBytes + lengthBytes <= this.sizeBytes;
    if (fits && offsetBytes % block === 0 && lengthBytes % block === 0) return;
    throw new BlockIoError(
      BlockIoFailure.outOfRange,
      `${this.name}: ${lengthBytes} bytes at ${offsetBytes} are not whole blocks of ${block} bytes within ${this.sizeBytes}`,
    );
  }
}
