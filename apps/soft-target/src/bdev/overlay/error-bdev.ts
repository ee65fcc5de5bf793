import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import { delay } from '@lariat/kernel';
import type { JsonObject, MethodCall } from '../../rpc/method.js';
import type { Bdev } from '../bdev.js';
import { OverlayBdev } from './overlay-bdev.js';

export const INJECTABLE_IO = ['read', 'write', 'unmap', 'flush'] as const;
export type InjectableIo = (typeof INJECTABLE_IO)[number];

/** What an I/O meets; `failure` is also what the module makes of an NVMe status. */
export type InjectedError =
  | { readonly type: 'failure'; readonly failure: BlockIoFailure }
  | { readonly type: 'pending' | 'nomem' }
  | { readonly type: 'corrupt_data'; readonly offsetBytes: number; readonly xor: number };

interface Injection {
  readonly error: InjectedError;
  /** How many I/Os are still to meet it. */
  left: number;
  /** It acts only while at least so many I/Os are with the base. */
  readonly queueDepth: number;
}

/** When an I/O that met a want of memory is tried again. */
const NOMEM_RETRY_MS = 1;

interface PendingIo {
  readonly resume: () => void;
  readonly abort: (reason: BlockIoError) => void;
}

/** Fails, holds or spoils I/O on its way to its base, as told (module/bdev/error/vbdev_error.c). */
export class ErrorBdev extends OverlayBdev {
  override readonly productName = 'Error Injection Disk';
  private readonly injections = new Map<InjectableIo, Injection>();
  private readonly pending: PendingIo[] = [];
  private inFlight = 0;
  private isRetiring = false;

  constructor(name: string, uuid: string, base: Bdev) {
    super(name, uuid, base);
  }

  override describe(): JsonObject {
    return { error_disk: { base_bdev: this.base.name } };
  }

  override get creation(): MethodCall {
    return {
      method: 'bdev_error_create',
      params: { base_name: this.base.name, uuid: this.uuid },
    };
  }

  /** The next `count` I/Os of the kind meet the error; it takes the place of an earlier one. */
  inject(kind: InjectableIo, error: InjectedError, count: number, queueDepth: number): void {
    this.injections.set(kind, { error, left: count, queueDepth });
  }

  clear(): void {
    this.injections.clear();
  }

  /** Lets go of what is held, and holds nothing more. */
  resumePending(): void {
    for (const [kind, { error }] of this.injections) {
      if (error.type === 'pending') this.injections.delete(kind);
    }
    for (const { resume } of this.pending.splice(0)) resume();
  }

  /** What is held ends as aborted: nobody could resume it any more. */
  override async retire(): Promise<void> {
    this.isRetiring = true;
    const retired = super.retire();
    const reason = new BlockIoError(BlockIoFailure.aborted, `${this.name} was removed`);
    for (const { abort } of this.pending.splice(0)) abort(reason);
    await retired;
  }

  protected override readBlocks(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    return this.run('read', async (error) =>
      spoilt(await super.readBlocks(offsetBytes, lengthBytes), error),
    );
  }

  protected override writeBlocks(offsetBytes: number, data: Buffer): Promise<void> {
    // The writer's own bytes stay as they are.
    return this.run('write', (error) =>
      super.writeBlocks(offsetBytes, error === undefined ? data : spoilt(Buffer.from(data), error)),
    );
  }

  protected override unmapBlocks(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.run('unmap', () => super.unmapBlocks(offsetBytes, lengthBytes));
  }

  protected override flushBlocks(): Promise<void> {
    return this.run('flush', () => super.flushBlocks());
  }

  private async run<T>(
    kind: InjectableIo,
    io: (error: InjectedError | undefined) => Promise<T>,
  ): Promise<T> {
    for (;;) {
      const error = this.next(kind);
      switch (error?.type) {
        case 'failure':
          throw new BlockIoError(error.failure, `${this.name}: injected failure of a ${kind}`);
        case 'pending':
          await new Promise<void>((resume, abort) => this.pending.push({ resume, abort }));
          break;
        case 'nomem':
          await delay(NOMEM_RETRY_MS);
          break;
        case 'corrupt_data':
        case undefined:
          return this.throughBase(() => io(error));
      }
    }
  }

  private async throughBase<T>(io: () => Promise<T>): Promise<T> {
    this.inFlight += 1;
    try {
      return await io();
    } finally {
      this.inFlight -= 1;
    }
  }

  private next(kind: InjectableIo): InjectedError | undefined {
    const injection = this.injections.get(kind);
    if (injection === undefined || this.isRetiring || injection.left === 0) return undefined;
    if (this.inFlight < injection.queueDepth) return undefined;
    injection.left -= 1;
    return injection.error;
  }
}

/** Changes one byte in place, unless it is past the end. */
function spoilt(data: Buffer, error: InjectedError | undefined): Buffer {
  if (error?.type === 'corrupt_data' && error.offsetBytes < data.length) {
    data.writeUInt8(data.readUInt8(error.offsetBytes) ^ error.xor, error.offsetBytes);
  }
  return data;
}
