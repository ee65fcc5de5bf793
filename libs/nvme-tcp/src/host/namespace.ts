import { type BlockDevice, BlockIoError, BlockIoFailure } from '../block-device.js';
import { makeCommand } from '../nvme/entry.js';
import { OptionalCommand } from '../nvme/identify-controller.js';
import { IoOpcode } from '../nvme/opcodes.js';
import { Status, statusCode } from '../nvme/status.js';
import { NvmeCommandError } from './host-error.js';
import { HostReservations } from './host-reservations.js';
import type { NamespaceIdentity } from './identify-namespaces.js';
import { IoRequest } from './io-request.js';

/** What a namespace needs of its controller. */
export interface NamespaceController {
  /** The most bytes that one read or write may carry. */
  readonly maxTransferBytes: number;
  /** ONCS bits. */
  readonly optionalCommands: number;
  readonly volatileWriteCache: boolean;
  submit(request: IoRequest): Promise<void>;
}

/** NLB is 16 bits, 0's based. */
const BLOCKS_MAX = 0x1_0000;
const DSM_RANGE_BLOCKS_MAX = 0xffff_ffff;
const DSM_DEALLOCATE = 0x04;

/** A namespace of a remote subsystem, as a block device. It stays the same object across reconnects. */
export class HostNamespace implements BlockDevice {
  readonly nsid: number;
  readonly uuid: string;
  readonly nguid: string;
  readonly blockSizeBytes: number;
  readonly reservations: HostReservations;
  private readonly controller: NamespaceController;
  private identity: NamespaceIdentity;
  private removed = false;

  constructor(controller: NamespaceController, identity: NamespaceIdentity) {
    this.controller = controller;
    this.identity = identity;
    this.nsid = identity.nsid;
    this.uuid = identity.uuid;
    this.nguid = identity.nguid;
    this.blockSizeBytes = identity.blockSizeBytes;
    this.reservations = new HostReservations(controller, identity.nsid);
  }

  get sizeBytes(): number {
    return this.identity.sizeBytes;
  }

  /** An `AnaState`; optimized when the controller reports none. */
  get anaState(): number {
    return this.identity.anaState;
  }

  /** True once the subsystem no longer has it; I/O then fails with `gone`. */
  get isRemoved(): boolean {
    return this.removed;
  }

  /** Whether an identity is of this very namespace, so that `update` may take it. */
  matches(identity: NamespaceIdentity): boolean {
    return (
      identity.nsid === this.nsid &&
      identity.uuid === this.uuid &&
      identity.blockSizeBytes === this.blockSizeBytes
    );
  }

  update(identity: NamespaceIdentity): void {
    this.identity = identity;
  }

  markRemoved(): void {
    this.removed = true;
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    this.check(offsetBytes, lengthBytes);
    const result = Buffer.allocUnsafeSlow(lengthBytes);
    await this.split(offsetBytes, lengthBytes, this.transferBytes, (offset, length, from) =>
      this.command(IoOpcode.read, offset, length, undefined, result.subarray(from, from + length)),
    );
    return result;
  }

  async write(offsetBytes: number, data: Buffer): Promise<void> {
    this.check(offsetBytes, data.length);
    await this.split(offsetBytes, data.length, this.transferBytes, (offset, length, from) =>
      this.command(IoOpcode.write, offset, length, data.subarray(from, from + length)),
    );
  }

  /**
   * Whether the namespace holds `data` there. It is compared by the target where that is supported, in parts of
   * at most one transfer, each of them atomic.
   */
  async compare(offsetBytes: number, data: Buffer): Promise<boolean> {
    this.check(offsetBytes, data.length);
    if ((this.controller.optionalCommands & OptionalCommand.compare) === 0)
      return data.equals(await this.read(offsetBytes, data.length));
    let equal = true;
    await this.split(offsetBytes, data.length, this.transferBytes, async (offset, length, from) => {
      try {
        await this.command(IoOpcode.compare, offset, length, data.subarray(from, from + length));
      } catch (error) {
        if (!isCompareFailure(error)) throw error;
        equal = false;
      }
    });
    return equal;
  }

  async writeZeroes(offsetBytes: number, lengthBytes: number): Promise<void> {
    this.check(offsetBytes, lengthBytes);
    if ((this.controller.optionalCommands & OptionalCommand.writeZeroes) !== 0) {
      await this.split(
        offsetBytes,
        lengthBytes,
        BLOCKS_MAX * this.blockSizeBytes,
        (offset, length) => this.command(IoOpcode.writeZeroes, offset, length),
      );
      return;
    }
    const zeroes = Buffer.alloc(Math.min(lengthBytes, this.transferBytes));
    await this.split(offsetBytes, lengthBytes, this.transferBytes, (offset, length) =>
      this.command(IoOpcode.write, offset, length, zeroes.subarray(0, length)),
    );
  }

  async unmap(offsetBytes: number, lengthBytes: number): Promise<void> {
    this.check(offsetBytes, lengthBytes);
    if ((this.controller.optionalCommands & OptionalCommand.datasetManagement) === 0) return;
    await this.split(
      offsetBytes,
      lengthBytes,
      DSM_RANGE_BLOCKS_MAX * this.blockSizeBytes,
      (offset, length) => {
        const range = Buffer.alloc(16);
        range.writeUInt32LE(length / this.blockSizeBytes, 4);
        range.writeBigUInt64LE(BigInt(offset / this.blockSizeBytes), 8);
        const entry = makeCommand(IoOpcode.datasetManagement, this.nsid, [0, DSM_DEALLOCATE]);
        return this.controller.submit(new IoRequest({ entry, data: range }));
      },
    );
  }

  async flush(): Promise<void> {
    if (this.removed) throw this.gone();
    if (!this.controller.volatileWriteCache) return;
    await this.controller.submit(new IoRequest({ entry: makeCommand(IoOpcode.flush, this.nsid) }));
  }

  /** Whole blocks, whatever MDTS is. */
  private get transferBytes(): number {
    const blocks = Math.floor(this.controller.maxTransferBytes / this.blockSizeBytes);
    return Math.max(1, Math.min(blocks, BLOCKS_MAX)) * this.blockSizeBytes;
  }

  private command(
    opcode: IoOpcode,
    offsetBytes: number,
    lengthBytes: number,
    data?: Buffer,
    readInto?: Buffer,
  ): Promise<void> {
    const block = offsetBytes / this.blockSizeBytes;
    const entry = makeCommand(opcode, this.nsid, [
      block % 0x1_0000_0000,
      Math.floor(block / 0x1_0000_0000),
      lengthBytes / this.blockSizeBytes - 1,
    ]);
    return this.controller.submit(
      new IoRequest({
        entry,
        ...(data === undefined ? {} : { data }),
        ...(readInto === undefined ? {} : { readInto }),
      }),
    );
  }

  /** Runs a command for each part of at most `partBytes`, all at once, and waits for the last. */
  private async split(
    offsetBytes: number,
    lengthBytes: number,
    partBytes: number,
    run: (offsetBytes: number, lengthBytes: number, from: number) => Promise<void>,
  ): Promise<void> {
    if (lengthBytes === 0) return;
    if (lengthBytes <= partBytes) return run(offsetBytes, lengthBytes, 0);
    const parts: Promise<void>[] = [];
    for (let from = 0; from < lengthBytes; from += partBytes) {
      parts.push(run(offsetBytes + from, Math.min(partBytes, lengthBytes - from), from));
    }
    // Not Promise.all: the caller may reuse its buffer as soon as this settles.
    const outcomes = await Promise.allSettled(parts);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  private check(offsetBytes: number, lengthBytes: number): void {
    if (this.removed) throw this.gone();
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
      BlockIoFailure.outOfRange,
      `${lengthBytes} bytes at ${offsetBytes} are not whole blocks within a namespace of ${this.sizeBytes} bytes`,
    );
  }

  private gone(): BlockIoError {
    return new BlockIoError(
      BlockIoFailure.gone,
      `namespace ${this.nsid} (${this.uuid}) was removed from its subsystem`,
    );
  }
}

function isCompareFailure(error: unknown): boolean {
  return (
    error instanceof BlockIoError &&
    error.cause instanceof NvmeCommandError &&
    statusCode(error.cause.status) === Status.compareFailure
  );
}
