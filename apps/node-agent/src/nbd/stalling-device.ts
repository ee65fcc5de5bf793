import { delay, withDeadline } from '@lariat/kernel';
import { BlockIoError, BlockIoFailure, type BlockDevice } from '@lariat/nvme-tcp';
import type { ConnectedDevice } from '../ports/block-connector.port.js';

const RETRY_MS = 50;
const REFRESH_DEADLINE_MS = 500;
/** What passes when the engine comes back; the rest is the caller's to know. */
const PASSING: ReadonlySet<BlockIoFailure> = new Set([BlockIoFailure.gone, BlockIoFailure.aborted]);

/**
 * The engine's device for as long as the attachment lasts: while the engine is away, I/O waits and is then
 * sent again, so that a restart of its target is a stall and not an error. Sending again is safe: a client
 * does not reuse a range before its request has been answered.
 */
export class StallingDevice implements BlockDevice {
  private replacing: Promise<void> | undefined;

  private constructor(
    private readonly connect: () => Promise<ConnectedDevice>,
    private device: ConnectedDevice,
    private readonly onStall: (reason: string) => void,
  ) {}

  /** The first connect must succeed within the deadline; later ones are tried for ever. */
  static async open(
    connect: () => Promise<ConnectedDevice>,
    deadlineMs: number,
    onStall: (reason: string) => void,
  ): Promise<StallingDevice> {
    const deadline = performance.now() + deadlineMs;
    for (;;) {
      try {
        return new StallingDevice(connect, await connect(), onStall);
      } catch (reason) {
        if (performance.now() > deadline) throw reason;
        await delay(RETRY_MS);
      }
    }
  }

  get uuid(): string {
    return this.device.uuid;
  }

  get blockSizeBytes(): number {
    return this.device.blockSizeBytes;
  }

  get sizeBytes(): number {
    return this.device.sizeBytes;
  }

  read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    return this.persist((device) => device.read(offsetBytes, lengthBytes));
  }

  write(offsetBytes: number, data: Buffer): Promise<void> {
    return this.persist((device) => device.write(offsetBytes, data));
  }

  writeZeroes(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.persist((device) => device.writeZeroes(offsetBytes, lengthBytes));
  }

  unmap(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.persist((device) => device.unmap(offsetBytes, lengthBytes));
  }

  flush(): Promise<void> {
    return this.persist((device) => device.flush());
  }

  /** While the engine is away the size is as it was last seen. */
  async refresh(): Promise<void> {
    const refreshed = this.device.refresh();
    await withDeadline('a look at the size', REFRESH_DEADLINE_MS, refreshed).catch(() => undefined);
  }

  close(): Promise<void> {
    return this.device.close();
  }

  private async persist<T>(io: (device: ConnectedDevice) => Promise<T>): Promise<T> {
    for (;;) {
      const { device } = this;
      try {
        return await io(device);
      } catch (reason) {
        if (!(reason instanceof BlockIoError) || !PASSING.has(reason.failure)) throw reason;
        await this.replace(device, reason);
      }
    }
  }

  /** One replacement at a time, however many requests have failed. */
  private replace(failed: ConnectedDevice, reason: Error): Promise<void> {
    if (this.device !== failed) return Promise.resolve();
    this.replacing ??= this.reconnect(failed, reason).finally(() => {
      this.replacing = undefined;
    });
    return this.replacing;
  }

  private async reconnect(failed: ConnectedDevice, reason: Error): Promise<void> {
    this.onStall(reason.message);
    // The old path is of no use any more, whether or not it can say goodbye.
    await failed.close().catch(() => undefined);
    for (;;) {
      try {
        this.device = await this.connect();
        return;
      } catch {
        // Expected while the engine is away; anything else would not be cured by giving up either.
        await delay(RETRY_MS);
      }
    }
  }
}
