import { type HostNamespace } from '@lariat/nvme-tcp';
import { MeteredBdev } from '../bdev/metered-bdev.js';
import type { JsonObject } from '../rpc/method.js';

/** A namespace of a remote subsystem as a bdev. */
export class NvmeBdev extends MeteredBdev {
  override readonly productName = 'NVMe disk';
  override readonly uuid: string;
  override readonly blockSizeBytes: number;
  private readonly describeController: (nsid: number) => JsonObject;

  constructor(
    override readonly name: string,
    private namespace: HostNamespace,
    describeController: (nsid: number) => JsonObject,
  ) {
    super();
    this.uuid = namespace.uuid;
    this.blockSizeBytes = namespace.blockSizeBytes;
    this.describeController = describeController;
  }

  override get sizeBytes(): number {
    return this.namespace.sizeBytes;
  }

  override describe(): JsonObject {
    return { nvme: [this.describeController(this.namespace.nsid)], mp_policy: 'active_passive' };
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
        // A closed connection fails its I/O only once the target has ended it, so that to send it again is safe.
        if (namespace === this.namespace) throw error;
      }
    }
  }
}
