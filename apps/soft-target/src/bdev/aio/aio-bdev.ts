import { randomUUID } from 'node:crypto';
import { constants, readSync, writeSync } from 'node:fs';
import { open, readFile, realpath, type FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import { MIB } from '@lariat/kernel';
import type { JsonObject, MethodCall } from '../../rpc/method.js';
import { Errno, RpcError } from '../../rpc/rpc-error.js';
import { MeteredBdev } from '../metered-bdev.js';
import { BlockingBudget } from './blocking-budget.js';
import { DirectFile } from './direct-file.js';
import { openExclusively } from './disk-lock.js';
import { FileSync } from './file-sync.js';

const DEFAULT_BLOCK_SIZE_BYTES = 4096;
const SECTOR_SIZE_BYTES = 512;
const ZEROS = Buffer.alloc(MIB);

export interface AioOptions {
  readonly name: string;
  readonly filename: string;
  readonly blockSizeBytes: number | undefined;
  readonly readOnly: boolean;
  readonly uuid: string | undefined;
}

/**
 * A file or block device, which no one else may write to meanwhile unless it is opened read-only. Its writes are in the
 * page cache, or in the disk's own, when they resolve; flush is fdatasync, and fails for good once it has failed.
 */
export class AioBdev extends MeteredBdev {
  override readonly productName = 'AIO disk';
  private readonly budget = new BlockingBudget();
  private readonly sync = new FileSync(() => this.file.datasync());

  private constructor(
    override readonly name: string,
    override readonly uuid: string,
    override readonly blockSizeBytes: number,
    private currentSizeBytes: number,
    private readonly options: AioOptions,
    private readonly file: FileHandle,
    private readonly direct: DirectFile | undefined,
  ) {
    super();
  }

  /** Throws the -errno of the open (EBUSY: another process, or another bdev, has it), or EINVAL for a block size or a size that does not fit. */
  static async open(options: AioOptions): Promise<AioBdev> {
    const blockSizeBytes = options.blockSizeBytes ?? DEFAULT_BLOCK_SIZE_BYTES;
    const isPowerOf2 = (blockSizeBytes & (blockSizeBytes - 1)) === 0;
    if (blockSizeBytes < SECTOR_SIZE_BYTES || !isPowerOf2) throw RpcError.errno('EINVAL');
    const file = await openFile(options);
    try {
      const sizeBytes = await sizeOf(file, options.filename);
      if (sizeBytes % blockSizeBytes !== 0) throw RpcError.errno('EINVAL');
      const uuid = options.uuid ?? randomUUID();
      const direct = await DirectFile.open(file, options.readOnly);
      return new AioBdev(options.name, uuid, blockSizeBytes, sizeBytes, options, file, direct);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  override get sizeBytes(): number {
    return this.currentSizeBytes;
  }

  override get isReadOnly(): boolean {
    return this.options.readOnly;
  }

  override get keepsNoData(): boolean {
    return true;
  }

  /** What the file or device holds now, in whole blocks. */
  async detectSizeBytes(): Promise<number> {
    const found = await sizeOf(this.file, this.options.filename);
    return found - (found % this.blockSizeBytes);
  }

  growTo(sizeBytes: number): void {
    this.currentSizeBytes = Math.max(sizeBytes, this.currentSizeBytes);
  }

  async close(): Promise<void> {
    await this.retire();
    await this.direct?.close();
    await this.file.close();
  }

  override describe(): JsonObject {
    const { filename, readOnly, blockSizeBytes } = this.options;
    return {
      aio: {
        filename,
        block_size_override: blockSizeBytes !== undefined,
        readonly: readOnly,
        fallocate: false,
        nowait: false,
      },
    };
  }

  override get creation(): MethodCall {
    const { filename, readOnly, blockSizeBytes } = this.options;
    return {
      method: 'bdev_aio_create',
      params: {
        name: this.name,
        filename,
        ...(blockSizeBytes === undefined ? {} : { block_size: blockSizeBytes }),
        readonly: readOnly,
        uuid: this.uuid,
      },
    };
  }

  protected override async readBlocks(
    offsetBytes: number,
    lengthBytes: number,
    into?: Buffer,
  ): Promise<Buffer> {
    const buffer = into ?? Buffer.allocUnsafe(lengthBytes);
    let done = await this.directly(buffer, (direct) => direct.read(buffer, offsetBytes));
    while (done < lengthBytes) {
      const [at, length, position] = [done, lengthBytes - done, offsetBytes + done];
      const bytesRead = await this.io(() =>
        this.budget.run(
          length,
          () => readSync(this.file.fd, buffer, at, length, position),
          async () => (await this.file.read(buffer, at, length, position)).bytesRead,
        ),
      );
      if (bytesRead === 0) {
        throw new BlockIoError(
          BlockIoFailure.media,
          `${this.options.filename} ends at ${offsetBytes + done}, before the ${this.currentSizeBytes} bytes it had`,
        );
      }
      done += bytesRead;
    }
    return buffer;
  }

  protected override async writeBlocks(offsetBytes: number, data: Buffer): Promise<void> {
    let done = await this.directly(data, (direct) => direct.write(data, offsetBytes));
    while (done < data.length) {
      const [at, length, position] = [done, data.length - done, offsetBytes + done];
      done += await this.io(() =>
        this.budget.run(
          length,
          () => writeSync(this.file.fd, data, at, length, position),
          async () => (await this.file.write(data, at, length, position)).bytesWritten,
        ),
      );
    }
  }

  /** Bytes that went past the page cache; what is left goes through it. */
  private async directly(
    bytes: Buffer,
    io: (direct: DirectFile) => Promise<number | undefined>,
  ): Promise<number> {
    const { direct } = this;
    if (direct === undefined || !direct.takes(bytes)) return 0;
    return (await this.io(() => io(direct))) ?? 0;
  }

  /** Node has no fallocate, so that holes can't be punched. */
  protected override async zeroBlocks(offsetBytes: number, lengthBytes: number): Promise<void> {
    for (let done = 0; done < lengthBytes; done += ZEROS.length) {
      const part = Math.min(ZEROS.length, lengthBytes - done);
      await this.writeBlocks(offsetBytes + done, ZEROS.subarray(0, part));
    }
  }

  protected override async flushBlocks(): Promise<void> {
    await this.io(() => this.sync.run());
  }

  private async io<T>(call: () => T | Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      const full = errnoOf(error) === 'ENOSPC';
      throw new BlockIoError(
        full ? BlockIoFailure.noSpace : BlockIoFailure.media,
        `${this.name}: ${(error as Error).message}`,
        error,
      );
    }
  }
}

async function openFile({ filename, readOnly }: AioOptions): Promise<FileHandle> {
  // Node takes it for a mistake of the program's, where it is one of the request.
  if (filename.includes('\0')) throw RpcError.errno('EINVAL');
  try {
    return await (readOnly ? open(filename, constants.O_RDONLY) : openExclusively(filename));
  } catch (error) {
    throw openError(error);
  }
}

function openError(error: unknown): unknown {
  if (error instanceof RpcError) return error;
  const errno = errnoOf(error);
  if (errno !== undefined && errno in Errno) return RpcError.errno(errno as keyof typeof Errno);
  const number = (error as NodeJS.ErrnoException).errno;
  return number === undefined ? error : new RpcError(number, (error as Error).message);
}

function errnoOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

async function sizeOf(file: FileHandle, filename: string): Promise<number> {
  const stat = await file.stat();
  if (stat.isFile()) return stat.size;
  if (!stat.isBlockDevice()) throw RpcError.errno('EINVAL');
  // stat gives 0 for a block device, and Node has no ioctl.
  const device = basename(await realpath(filename));
  const sectors = await readFile(`/sys/class/block/${device}/size`, 'utf8');
  return Number(sectors) * SECTOR_SIZE_BYTES;
}
