import { randomUUID } from 'node:crypto';
import type { JsonObject, MethodCall } from '../../rpc/method.js';
import { MeteredBdev } from '../metered-bdev.js';

/** A disk in memory. */
export class MallocBdev extends MeteredBdev {
  override readonly productName = 'Malloc disk';
  private readonly bytes: Buffer;

  constructor(
    override readonly name: string,
    override readonly blockSizeBytes: number,
    override readonly sizeBytes: number,
    override readonly uuid: string = randomUUID(),
  ) {
    super();
    this.bytes = Buffer.alloc(sizeBytes);
  }

  override describe(): JsonObject {
    return {};
  }

  override get creation(): MethodCall {
    return {
      method: 'bdev_malloc_create',
      params: {
        name: this.name,
        block_size: this.blockSizeBytes,
        num_blocks: this.sizeBytes / this.blockSizeBytes,
        uuid: this.uuid,
      },
    };
  }

  protected override async readBlocks(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    await nextTurn();
    return Buffer.from(this.bytes.subarray(offsetBytes, offsetBytes + lengthBytes));
  }

  protected override async writeBlocks(offsetBytes: number, data: Buffer): Promise<void> {
    await nextTurn();
    data.copy(this.bytes, offsetBytes);
  }

  protected override async zeroBlocks(offsetBytes: number, lengthBytes: number): Promise<void> {
    await nextTurn();
    this.bytes.fill(0, offsetBytes, offsetBytes + lengthBytes);
  }

  protected override flushBlocks(): Promise<void> {
    return nextTurn();
  }
}

/** I/O that never left the microtasks would keep sockets and timers waiting for as long as it lasts. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
