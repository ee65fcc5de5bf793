import { type HostNamespace } from '@lariat/nvme-tcp';
import { MeteredBdev } from '../bdev/metered-bdev.js';
import type { JsonObject } from '../rpc/method.js';

/** What a bdev asks of its controller. */
export interface NvmeBdevOwner {
  /** One element of `nvme` in bdev_get_bdevs. */
  readonly describe: (nsid: number) => JsonObject;
  /** While another path is looked for after the last connection was lost: settles when that has ended. */
  readonly otherPath: () => Promise<unknown> | undefined;
}

/** A namespace of a remote subsystem as a bdev. */
export class NvmeBdev extends MeteredBdev {
  override readonly productName = 'NVMe disk';
  override readonly uuid: string;
  override readonly blockSizeBytes: number;

  constructor(
    override readonly name: string,
    private namespace: HostNamespace,
    private readonly owner: NvmeBdevOwner,
  ) {
    super();
    this.uuid = namespace.uuid;
    this.blockSizeBytes = namespace.blockSizeBytes;
  }

  override get sizeBytes(): number {
    return this.namespace.sizeBytes;
  }

  override describe(): JsonObject {
    return { nvme: [this.owner.describe(this.namespace.nsid)], mp_policy: 'active_passive' };
  }

  /** True when `namespace`, of a new connection, is the one that this bdev stands for. */
  stands(namespace: HostNamespace): boolean {
    return namespace.uuid === this.uuid && namespace.blockSizeBytes === this.blockSizeBytes;
  }

  /** From now on I/O goes to `namespace`, also what fails on the old one because its connection is closed. */
  moveTo(namespace: HostNamespace): void {
    this.namespace = namespace;
  }

  protected override readBlocks(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    return this.onNamespace((namespace) => namespace.read(offsetBytes, lengthBytes));
  }

  protected override writeBlocks(offsetBytes: number, data: Buffer): Promise<void> {
    return this.onNamespace((namespace) => namespace.write(offsetBytes, data));
  }

  protected override zeroBlocks(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.onNamespace((namespace) => namespace.writeZeroes(offsetBytes, lengthBytes));
  }

  protected override flushBlocks(): Promise<void> {
    return this.onNamespace((namespace) => namespace.flush());
  }

  private async onNamespace<T>(io: (namespace: HostNamespace) => Promise<T>): Promise<T> {
    for (;;) {
      const { namespace } = this;
      try {
        return await io(namespace);
      } catch (error) {
        if (namespace === this.namespace) await this.owner.otherPath();
        // A closed connection fails its I/O only once the target has ended it, so that to send it again is safe.
        if (namespace === this.namespace) throw error;
      }
    }
  }
}
